"""What the buttons of a slot's card do. The card changes when Lemonade was seen to have done it, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Response as AnyResponse

from hal0app import errors
from hal0app.services.jobs import Job
from hal0app.services.slots import Slots
from hal0app.web.blueprint import YOU, begun, bp
from hal0app.web.site import site

BACK = "/slots"


def _set(**changes: Any) -> Callable[[Slots, str], Job | None]:
    """Changes the definition, and nothing is to be waited for."""

    def act(slots: Slots, name: str) -> None:
        slots.change(name, changes, None, YOU)

    return act


def _clear(slots: Slots, name: str) -> None:
    slots.clear(name, YOU)


def _keep(slots: Slots, name: str) -> None:
    slots.keep(name, YOU)


def _cancel(slots: Slots, name: str) -> None:
    slots.cancel(name, YOU)


ACTS: dict[str, tuple[Callable[[Slots, str], Job | None], str]] = {
    "load": (lambda slots, name: slots.load(name, YOU), "Loading {name}."),
    "unload": (lambda slots, name: slots.unload(name, YOU), "Unloading {name}; running answers finish first."),
    "restart": (lambda slots, name: slots.restart(name, YOU), "Reloading {name}; running answers finish first."),
    "cancel": (_cancel, "What {name} waited for is cancelled."),
    "clear": (_clear, "The failures of {name} are forgotten."),
    "pin": (_set(pinned=True), "{name} is pinned: it is not evicted to make room."),
    "unpin": (_set(pinned=False), "{name} is not pinned any more."),
    "on": (_set(enabled=True), "{name} is turned on."),
    "off": (_set(enabled=False), "{name} is turned off: requests to it are refused."),
    "keep": (_keep, "{name} now asks for what Lemonade runs."),
}


@bp.post("/slots/<name>/pull")
def pull_model(name: str) -> AnyResponse:
    """Download the slot's model."""
    config = site().hal0.slots.one(name).config
    if config is None or config.model is None:
        raise errors.error("slot.no_model", f"'{name}' has no model to download")
    site().hal0.models.pull({"model_name": config.model}, YOU)
    site().hal0.stock.changed()
    return begun(name, f"Downloading {config.model}; see Models.", None, BACK)


@bp.post("/slots/<name>/<any(load, unload, restart, cancel, clear, pin, unpin, on, off, keep):act>")
def act(name: str, act: str) -> AnyResponse:
    """Start an act on a slot, or change what its definition says."""
    start, words = ACTS[act]
    job = start(site().hal0.slots, name)
    return begun(name, words.format(name=name), job, BACK)
