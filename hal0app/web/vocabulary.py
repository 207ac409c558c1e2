"""How a slot's state is shown: one table for the word, the shape, the colour, the place in line and the buttons.

The sentence is the record's own message, whose words `core.reasons` has, except where there is more to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hal0app.core.reasons import Reason
from hal0app.core.slot import State
from hal0app.services.slots import SlotView
from hal0app.web.buttons import (
    CHOOSE_MODEL,
    KEEP,
    LOAD,
    LOAD_NOW,
    LOADING,
    MEND,
    PULL,
    RELOAD,
    SWAP,
    TRY_AGAIN,
    TURN_ON,
    UNLOAD,
    UNLOADING,
    Button,
)

GIB = 1024**3


class Shape(StrEnum):
    """The mark beside the word; `partials/_shape.html` draws them."""

    DISC = "disc"
    TARGET = "target"
    SPINNER = "spinner"
    CIRCLE = "circle"
    TRIANGLE = "triangle"
    HOLLOW = "hollow"
    DIAMOND = "diamond"
    DASHES = "dashes"


class Tone(StrEnum):
    """The colour's meaning. BAD is kept for what a person must act on."""

    GOOD = "good"
    BUSY = "busy"
    CALM = "calm"
    BAD = "bad"


# Places in line: what needs a person, what works, the rest.
FIRST, MIDDLE, LAST = 0, 1, 2


def _message(view: SlotView) -> str:
    return view.record.message


def _ready(view: SlotView) -> str:
    return "loaded; the next request is answered at once"


def _serving(view: SlotView) -> str:
    return f"answering {_requests(view.in_flight)}"


def _loading(view: SlotView) -> str:
    last = f"; last time it took {duration(view.last_load_ms)}" if view.last_load_ms is not None else ""
    return f"{view.record.message}{last}"


def _unloading(view: SlotView) -> str:
    running = f"; letting {_requests(view.in_flight)} finish" if view.in_flight else ""
    return f"{view.record.message}{running}"


def _unknown(view: SlotView) -> str:
    return "no word from Lemonade; it was ready"


def _drift(view: SlotView) -> str:
    assert view.config is not None
    assert view.resident is not None
    held, wanted = tokens(view.resident.ctx_size or 0), tokens(view.config.ctx_size or 0)
    return f"Lemonade runs it with a context of {held}; this slot asks for {wanted}"


def tokens(count: int) -> str:
    """`8 192 tokens`."""
    return f"{count:,} tokens".replace(",", "\u202f")


def gib(size: int) -> str:
    """`18.6 GiB`, `43 MiB`."""
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 or not size else f"{size >> 20} MiB"


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def duration(milliseconds: int) -> str:
    """`0.4 s`, `14 s`, `1:05 min`."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"


@dataclass(frozen=True)
class Face:
    """One row: how a state looks, and what can be done about it."""

    word: str
    shape: Shape
    tone: Tone
    line: int
    buttons: tuple[Button, ...] = ()
    by_file: bool = False  # the slot's own file says it; Lemonade's silence makes it no older
    sentence: Callable[[SlotView], str] = _message


BY_STATE: dict[State, Face] = {
    State.PULLING: Face("Downloading", Shape.SPINNER, Tone.BUSY, MIDDLE),
    State.STARTING: Face("Loading", Shape.SPINNER, Tone.BUSY, MIDDLE, (LOADING,), sentence=_loading),
    State.WARMING: Face("Loading", Shape.SPINNER, Tone.BUSY, MIDDLE, (LOADING,), sentence=_loading),
    State.READY: Face("Ready", Shape.DISC, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_ready),
    State.IDLE: Face("Ready", Shape.DISC, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_ready),
    State.SERVING: Face("Serving", Shape.TARGET, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_serving),
    State.UNLOADING: Face("Unloading", Shape.SPINNER, Tone.BUSY, MIDDLE, (UNLOADING,), sentence=_unloading),
}

# For OFFLINE and ERROR the reason decides.
BY_REASON: dict[Reason, Face] = {
    Reason.NONE: Face("Not loaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD,)),
    Reason.NEVER_LOADED: Face("Not loaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD,)),
    Reason.NO_MODEL: Face("Empty", Shape.CIRCLE, Tone.CALM, LAST, (CHOOSE_MODEL,), by_file=True),
    Reason.EVICTED: Face("Evicted", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.DISPLACED: Face("Evicted", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.NUCLEAR: Face("Evicted", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.CRASHED: Face("Crashed", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.LEMOND_RESTARTED: Face("Unloaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.IDLE: Face("Unloaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.OPERATOR: Face("Unloaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.DISABLED: Face("Off", Shape.CIRCLE, Tone.CALM, LAST, (TURN_ON,), by_file=True),
    Reason.NOT_DOWNLOADED: Face("Not downloaded", Shape.HOLLOW, Tone.CALM, LAST, (TRY_AGAIN, PULL)),
    Reason.REFUSED: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN,)),
    Reason.LOAD_FAILED: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN,)),
    Reason.CRASH_LOOP: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN,)),
    Reason.INVALID_CONFIG: Face("Invalid", Shape.TRIANGLE, Tone.BAD, FIRST, (MEND,), by_file=True),
}

# Ready as last seen, while nothing answers: no green mark outlives its evidence.
UNKNOWN = Face("Unknown", Shape.DASHES, Tone.CALM, MIDDLE, (UNLOAD,), sentence=_unknown)
NEEDS_EVIDENCE = frozenset({State.READY, State.IDLE})

# Loaded, but not as the slot's definition says.
DRIFT = Face("Drift", Shape.DIAMOND, Tone.BUSY, MIDDLE, (RELOAD, KEEP), sentence=_drift)


def face(state: State, reason: Reason, lemonade_down: bool, drifted: bool = False) -> Face:
    """The row for this state; `reason` counts only where the state has no row of its own."""
    if lemonade_down and state in NEEDS_EVIDENCE:
        return UNKNOWN
    if drifted and state in NEEDS_EVIDENCE:
        return DRIFT
    return BY_STATE.get(state) or BY_REASON[reason]


def drifted(view: SlotView) -> bool:
    """Whether lemond runs the slot's model with another context than the slot asks for."""
    wanted, held = (view.config and view.config.ctx_size), (view.resident and view.resident.ctx_size)
    return bool(wanted and held and wanted != held)
