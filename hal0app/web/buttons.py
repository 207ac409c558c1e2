"""What a person can press on a slot's card: acts at once, or a page that asks first."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app.core.operation import Cause
from hal0app.core.slot_config import SlotConfig
from hal0app.services.definitions import SEEDED

ASKED_FIRST = frozenset({"swap", "edit", "delete", "details"})


@dataclass(frozen=True)
class Button:
    """`act` is the last part of its address, below the slot's. `waits`: it is being done, so it does nothing."""

    act: str
    label: str
    waits: bool = False

    @property
    def asks(self) -> bool:
        """Whether it leads to a page instead of doing something at once."""
        return self.act in ASKED_FIRST

    @property
    def offline(self) -> bool:
        """Whether it works while Lemonade does not answer: what only changes hal0's own files."""
        return self.act not in {"load", "unload", "restart", "swap", "clear", "pull", "cancel"}


LOAD = Button("load", "Load")
LOAD_NOW = Button("load", "Load now")
TRY_AGAIN = Button("load", "Try again")
LOADING = Button("load", "Load", waits=True)
UNLOAD = Button("unload", "Unload")
UNLOADING = Button("unload", "Unload", waits=True)
SWAP = Button("swap", "Swap")
PULL = Button("pull", "Pull")
TURN_ON = Button("on", "Turn on")
TURN_OFF = Button("off", "Turn off")
CHOOSE_MODEL = Button("edit", "Choose a model")
MEND = Button("edit", "Mend")
RELOAD = Button("restart", "Reload as set")
KEEP = Button("keep", "Keep as it runs")
CANCEL = Button("cancel", "Cancel")
TRY_NOW = Button("load", "Try now")
DETAILS = Button("details", "Details")
PIN = Button("pin", "Pin")
UNPIN = Button("unpin", "Unpin")
RESTART = Button("restart", "Restart")
CLEAR = Button("clear", "Forget failures")
PREVIEW = Button("swap", "Preview or swap")
EDIT = Button("edit", "Edit")
DELETE = Button("delete", "Delete")


def further(
    config: SlotConfig | None, name: str, shown: tuple[Button, ...], loaded: bool, failed: bool
) -> list[Button]:
    """What stands behind "More": all that makes sense for the slot and is not among the buttons that are `shown`."""
    on = config is not None and config.enabled
    model = config is not None and config.model is not None
    offered = [
        (UNLOAD, on and loaded),
        (RESTART, on and loaded),
        (CLEAR, on and failed),
        (PREVIEW, on and model),
        (UNPIN if config and config.pinned else PIN, on and model),
        (TURN_OFF, on),
        (EDIT, True),
        (DELETE, name not in SEEDED),
    ]
    taken = {one.act for one in shown}
    return [button for button, holds in offered if holds and button.act not in taken]


def by_whom(cause: Cause) -> str:
    """Who wanted an operation, in words."""
    of_agent = f"a request of {cause.who}" if cause.who else "a request"
    words = {"request": of_agent, "restore": "hal0, to bring it back", "idle": "hal0", "displaced": "hal0"}
    return words.get(cause.reason) or cause.who or "you"
