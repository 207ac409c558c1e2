"""How a slot's state is shown: one table for the word, the shape, the colour, the place in line and the buttons.

The sentence is the record's own message, whose words `core.reasons` has, except where there is more to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hal0app.core.reasons import Reason
from hal0app.core.slot import State
from hal0app.services.slot_view import SlotView
from hal0app.web.buttons import (
    CANCEL,
    CHOOSE_MODEL,
    DETAILS,
    KEEP,
    LOAD,
    LOAD_NOW,
    LOADING,
    MEND,
    PULL,
    RELOAD,
    SWAP,
    TRY_AGAIN,
    TRY_NOW,
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
    CAUTION = "caution"
    HOLLOW = "hollow"
    DIAMOND = "diamond"
    DASHES = "dashes"


class Tone(StrEnum):
    """The colour's meaning. BAD is kept for what a person must act on; WARN for what hal0 will try again by itself."""

    GOOD = "good"
    BUSY = "busy"
    CALM = "calm"
    WARN = "warn"
    BAD = "bad"


class Counted(StrEnum):
    """Among whom a slot is counted in the line over the cards."""

    READY = "ready"
    NEEDS_YOU = "needs you"
    REST = "rest"


COUNTED = {
    Tone.GOOD: Counted.READY,
    Tone.BAD: Counted.NEEDS_YOU,
    **dict.fromkeys((Tone.BUSY, Tone.CALM, Tone.WARN), Counted.REST),
}

# Places in line: what needs a person, what works, the rest.
FIRST, MIDDLE, LAST = 0, 1, 2


def _message(view: SlotView) -> str:
    return view.record.message


def _ready(view: SlotView) -> str:
    return "loaded; the next request is answered at once"


def _serving(view: SlotView) -> str:
    return f"answering {_requests(view.in_flight)}"


def _last_time(view: SlotView) -> str:
    return f"; last time it took {duration(view.last_load_ms)}" if view.last_load_ms is not None else ""


def _running(view: SlotView) -> str:
    return f"; letting {_requests(view.in_flight)} finish" if view.in_flight else ""


WAS = {State.STARTING: "was loading", State.WARMING: "was loading", State.UNLOADING: "was unloading"}


def _unknown(view: SlotView) -> str:
    return WAS.get(view.state, "was ready")


def _waiting(view: SlotView) -> str:
    swap = f"; then {view.swaps_to} comes into this slot" if view.swaps_to else ""
    return f"waiting for Lemonade to finish {view.waits_for.doing} {view.waits_for.model}{swap}"


def _swapping(view: SlotView) -> str:
    return f"swapping to {view.swaps_to}"


def note(view: SlotView) -> str:
    """What is about to happen to a slot that still serves; empty where nothing is."""
    if not view.swaps_to or view.state not in UP:
        return ""
    if view.waits_for.model:
        return (
            f"{view.swaps_to} is to take its place, when Lemonade has finished {view.waits_for.doing} "
            f"{view.waits_for.model}."
        )
    return f"{view.swaps_to} is to take its place; running answers finish first."


def _paused(view: SlotView) -> str:
    assert view.kept_out is not None
    return "1 load failed" if view.kept_out.failures == 1 else f"{view.kept_out.failures} loads failed"


def _drift(view: SlotView) -> str:
    held = ", ".join(OPTION_WORDS[one.key](one.held) for one in view.differences)
    wanted = ", ".join(OPTION_WORDS[one.key](one.wanted) for one in view.differences)
    return f"Lemonade runs it with {held}; this slot asks for {wanted}"


# How a load option is told, by its key in the definition; None is what nobody said.
OPTION_WORDS: dict[str, Callable[[Any], str]] = {
    "ctx_size": lambda size: f"a context of {tokens(size)}" if size else "the context that fits",
    "llamacpp_args": lambda args: f"the options {args}" if args else "no further options",
    "max_in_flight": lambda count: "1 request at once" if count == 1 else f"{count} requests at once",
    "device": lambda device: f"the device {device}" if device else "any device",
}


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
class Tail:
    """What stands behind the sentence: words and a time `at` (of the slot, and of the last look at the residents).

    `count`: `up` and `down` show how long it is since or until then, in the page, as it passes; else the time of day.
    """

    words: str
    at: Callable[[SlotView, float], float]
    count: str = ""


SINCE_BEGUN = Tail(" for", lambda view, looked: view.record.since, "up")
SINCE_LOOKED = Tail(". No word from Lemonade since", lambda view, looked: looked)
UNTIL_TRIED = Tail(". Next try in", lambda view, looked: view.kept_out.until if view.kept_out else 0.0, "down")


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
    tail: Tail | None = None
    after: Callable[[SlotView], str] = lambda view: ""  # what ends the sentence, behind the tail
    trouble: str = ""  # what a person has to act on, behind the slot's name


BY_STATE: dict[State, Face] = {
    State.PULLING: Face("Downloading", Shape.SPINNER, Tone.BUSY, MIDDLE),
    State.STARTING: Face("Loading", Shape.SPINNER, Tone.BUSY, MIDDLE, (LOADING,), tail=SINCE_BEGUN, after=_last_time),
    State.WARMING: Face("Loading", Shape.SPINNER, Tone.BUSY, MIDDLE, (LOADING,), tail=SINCE_BEGUN, after=_last_time),
    State.READY: Face("Ready", Shape.DISC, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_ready),
    State.IDLE: Face("Ready", Shape.DISC, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_ready),
    State.SERVING: Face("Serving", Shape.TARGET, Tone.GOOD, MIDDLE, (UNLOAD, SWAP), sentence=_serving),
    State.UNLOADING: Face(
        "Unloading", Shape.SPINNER, Tone.BUSY, MIDDLE, (UNLOADING,), tail=SINCE_BEGUN, after=_running
    ),
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
    Reason.SWAPPED: Face("Unloaded", Shape.CIRCLE, Tone.CALM, LAST, (LOAD_NOW,)),
    Reason.DISABLED: Face("Off", Shape.CIRCLE, Tone.CALM, LAST, (TURN_ON,), by_file=True),
    Reason.NOT_DOWNLOADED: Face("Not downloaded", Shape.HOLLOW, Tone.CALM, LAST, (TRY_AGAIN, PULL)),
    Reason.REFUSED: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN, DETAILS), trouble="cannot be loaded"),
    Reason.LOAD_FAILED: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN, DETAILS), trouble="failed to load"),
    Reason.CRASH_LOOP: Face("Failed", Shape.TRIANGLE, Tone.BAD, FIRST, (TRY_AGAIN, DETAILS), trouble="keeps crashing"),
    Reason.INVALID_CONFIG: Face(
        "Invalid", Shape.TRIANGLE, Tone.BAD, FIRST, (MEND,), by_file=True, trouble="has an invalid file"
    ),
}

NEEDS_EVIDENCE = frozenset({State.READY, State.IDLE})
UP = NEEDS_EVIDENCE | {State.SERVING}
TRIED_AGAIN = frozenset({State.OFFLINE, State.ERROR})
# What a pause says nothing about: such a slot would not be tried, or for another reason not yet.
NOT_TRIED = frozenset({Reason.DISABLED, Reason.NO_MODEL, Reason.NOT_DOWNLOADED, Reason.INVALID_CONFIG,
                       Reason.LOAD_FAILED, Reason.CRASH_LOOP})  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A face that comes before those of state and reason, when it `holds` for a slot and whether Lemonade answers."""

    face: Face
    holds: Callable[[SlotView, bool], bool]


# No green mark outlives its evidence, and what will happen by itself is told before what has happened.
WAITING = Face("Waiting", Shape.SPINNER, Tone.BUSY, MIDDLE, (CANCEL,), sentence=_waiting)
SWAPPING = Face("Loading", Shape.SPINNER, Tone.BUSY, MIDDLE, (LOADING,), sentence=_swapping, tail=SINCE_BEGUN)
UNKNOWN = Face("Unknown", Shape.DASHES, Tone.CALM, MIDDLE, (UNLOAD,), sentence=_unknown, tail=SINCE_LOOKED)
DRIFT = Face("Drift", Shape.DIAMOND, Tone.BUSY, MIDDLE, (RELOAD, KEEP), sentence=_drift)
PAUSED = Face("Paused", Shape.CAUTION, Tone.WARN, MIDDLE, (TRY_NOW, DETAILS), sentence=_paused, tail=UNTIL_TRIED)
CASES: tuple[Case, ...] = (
    Case(WAITING, lambda view, answers: bool(view.waits_for.model) and _is_wanted(view)),
    Case(SWAPPING, lambda view, answers: bool(view.swaps_to) and view.state is State.OFFLINE),
    Case(UNKNOWN, lambda view, answers: not answers and _is_unproven(view)),
    Case(DRIFT, lambda view, answers: bool(view.differences) and view.state in NEEDS_EVIDENCE),
    Case(PAUSED, lambda view, answers: _is_paused(view)),
)


def _is_wanted(view: SlotView) -> bool:
    """Whether the load of its model concerns it: another slot may have the same model."""
    return view.config is not None and view.config.enabled and view.state not in UP


def _is_unproven(view: SlotView) -> bool:
    """Whether only Lemonade can say that it is so: it holds a model, or how a load ended that hal0 has at its end."""
    return view.state in NEEDS_EVIDENCE or (view.state in WAS and view.operation is None)


def _is_paused(view: SlotView) -> bool:
    return view.kept_out is not None and view.state in TRIED_AGAIN and view.record.reason not in NOT_TRIED


def face(view: SlotView, answers: bool = True) -> Face:
    """The one classifier: word, mark, colour, place, buttons and what is counted all come from the face it gives."""
    for case in CASES:
        if case.holds(view, answers):
            return case.face
    return BY_STATE.get(view.state) or BY_REASON[view.record.reason]
