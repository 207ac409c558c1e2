"""The models on this machine: who uses them, what is pulled, what is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.model import Model, read_model
from hal0app.core.quarantine import Quarantine
from hal0app.core.residency import Resident
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Control, Want
from hal0app.services.downloads import Downloads, Followed
from hal0app.services.jobs import Job
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import Library, States
from hal0app.services.quarantines import Quarantines

UNLOAD_S = 900.0
PULL_FIELDS = ("model_name", "checkpoint", "recipe")


@dataclass(frozen=True)
class ModelView:
    """A model, the slots that name it (enabled or not), and its resident while it is loaded."""

    model: Model
    slots: tuple[str, ...] = ()
    resident: Resident | None = None
    quarantine: Quarantine | None = None

    def as_json(self) -> dict[str, Any]:
        """The model as `/api/models` shows it; null: Lemonade does not say, or it has none."""
        model = self.model
        return {
            "id": model.id,
            "type": model.type,
            "recipe": model.recipe or None,
            "labels": list(model.labels),
            "size_gb": model.size_gb,
            "ctx_size": model.context,
            "checkpoint": model.checkpoint or None,
            "source": model.source or None,
            "downloaded": model.downloaded,
            "deletable": model.downloaded and not model.local,
            "resident": self.resident is not None,
            "pinned": bool(self.resident and self.resident.pinned),
            "slots": list(self.slots),
            "quarantine": self.quarantine and self.quarantine.as_json(),
        }


class Models:
    """Reads come from the catalogue and the observer's snapshot; changes go to lemond and into the journal."""

    def __init__(
        self,
        library: Library,
        catalogue: Catalogue,
        observer: Observer,
        control: Control,
        downloads: Downloads,
        store: States,
        clock: Clock,
        quarantines: Quarantines,
    ) -> None:
        self._library, self._catalogue, self._observer = library, catalogue, observer
        self._control, self._downloads = control, downloads
        self._store, self._clock, self._quarantines = store, clock, quarantines

    def all(self) -> list[ModelView]:
        """Every downloaded model, and those that slots name without their being here. Raises LemonadeError."""
        snapshot = self._observer.snapshot
        known = {model.id: model for model in self._catalogue.models()}
        if not known and not snapshot.seen.link.answers:
            raise errors.error("lemonade.unavailable", "Lemonade does not answer", retry_after=5)
        for slot in snapshot.configs:
            if slot.model is not None and slot.model not in known:
                known[slot.model] = Model(slot.model, slot.type, recipe="", downloaded=False)
        return [self._view(model, snapshot) for _, model in sorted(known.items())]

    def offered(self) -> list[Model]:
        """What Lemonade's registry has and this machine does not. Raises LemonadeError."""
        rows = map(read_model, self._library.registry())
        return sorted((model for model in rows if not model.downloaded), key=lambda model: model.id)

    def _view(self, model: Model, snapshot: Snapshot) -> ModelView:
        slots = tuple(slot.name for slot in snapshot.configs if slot.model == model.id)
        return ModelView(model, slots, snapshot.residency.resident(model.id), self._quarantines.of(model.id))

    def clear(self, name: str, who: str) -> None:
        """Forget that the model could not be loaded, so that it may be tried again. Raises `model.unknown`."""
        if self._quarantines.of(name) is None:
            self._find(name)
        self._control.clear(Want(name), who)

    # -- load and unload

    def load(self, name: str, who: str) -> Job:
        """Start or join the load of a model, as the first enabled slot that has it wants it, or without a slot."""
        using = [slot for slot in self._observer.snapshot.configs if slot.enabled and slot.model == name]
        return self._control.load(Want(name, using[0] if using else None), who)

    def unload(self, name: str, who: str) -> Job:
        """Start or join its unload, whichever slots have it. Raises `model.unknown` when it is not loaded."""
        if self._observer.snapshot.residency.resident(name) is None:
            raise errors.error("model.unknown", f"'{name[:200]}' is not loaded")
        return self._control.unload(Want(name), who)

    # -- delete

    def delete(self, name: str, force: bool, agent: str | None = None) -> None:
        """Unload the model and delete its files.

        Raises `model.unknown`, `model.in_use` (unless `force`), `model.not_downloaded`, `model.local_file`,
        `model.delete_failed`, what the unload raises, `lemonade.unavailable`. Nothing is unloaded when it is refused.
        """
        model = self._find(name)
        _refuse_in_use(model, self._observer.snapshot, force)
        if not model.downloaded:
            raise errors.error("model.not_downloaded", f"'{model.id}' is not on this machine: nothing to delete")
        if model.local:
            message = f"'{model.id}' is a file of your own: delete {model.checkpoint} and restart Lemonade"
            raise errors.error("model.local_file", message, file=model.checkpoint)
        if self._observer.snapshot.residency.resident(model.id) is not None:
            self._control.unload(Want(model.id), agent or "you").wait(UNLOAD_S)
        try:
            self._library.delete(model.id)
        except Hal0Error as problem:
            raise _typed(problem, "model.delete_failed", f"'{model.id}' was not deleted") from problem
        finally:
            self._catalogue.forget(model.id)
        told = Entry(self._clock().wall, "model.delete", f"{model.id} was deleted", model=model.id, agent=agent)
        self._store.write_journal([told])

    def _find(self, name: str) -> Model:
        row = self._library.model(name)
        if row is None:
            raise errors.error("model.unknown", f"Lemonade does not know a model '{name[:200]}'. See GET /api/models")
        return read_model({"id": name, **row})

    # -- pull

    def pull(self, wanted: Mapping[str, Any], agent: str | None = None) -> Followed:
        """Let lemond download a model: one of its registry by name, or `user.NAME` with checkpoint and recipe.

        Raises `request.missing_field`, `request.invalid_field`, `model.pull_failed`, `lemonade.unavailable`. What goes
        wrong later is told by the download and the journal.
        """
        body = _pull_request(wanted)
        name = body["model_name"]
        try:
            return self._downloads.begin(f"model:{name}", partial(self._library.pull, body), agent)
        except Hal0Error as problem:
            failed = _typed(problem, "model.pull_failed", f"'{name}' cannot be pulled")
            told = Entry(self._clock().wall, "model.pull", failed.message, "error", model=name, agent=agent)
            self._store.write_journal([told])
            raise failed from problem


def _pull_request(wanted: Mapping[str, Any]) -> dict[str, str]:
    for key, value in wanted.items():
        if key not in PULL_FIELDS:
            raise errors.error("request.invalid_field", f"unknown key '{key[:64]}'; known: {', '.join(PULL_FIELDS)}")
        if not isinstance(value, str) or not value:
            raise errors.error("request.invalid_field", f"'{key}' must be a text", param=key)
    if "model_name" not in wanted:
        raise errors.error("request.missing_field", "'model_name' says what to pull", param="model_name")
    return dict(wanted)


def _refuse_in_use(model: Model, snapshot: Snapshot, force: bool) -> None:
    named = [slot.name for slot in snapshot.configs if _uses(slot, model)]
    loaded = snapshot.residency.resident(model.id) is not None
    if force or not (named or loaded):
        return
    reasons = ["is loaded"] * loaded + [f"is the model of {', '.join(named)}"] * bool(named)
    message = f"'{model.id}' {' and '.join(reasons)}. Turn that off first, or force it (?force=true, --force)"
    raise errors.error("model.in_use", message, slots=named, loaded=loaded)


def _uses(slot: SlotConfig, model: Model) -> bool:
    return slot.enabled and slot.model == model.id


def _typed(problem: Hal0Error, code: str, what: str) -> Hal0Error:
    """lemond's refusal under a code of its own; its silence stays what it is."""
    if problem.code != "lemonade.refused":
        return problem
    return errors.error(code, f"{what}: {problem.message}", **problem.details)
