"""What happened to a slot, out of the journal's entries: each event once, with cause, by whom and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hal0app.core.journal import Entry
from hal0app.core.operation import Cause
from hal0app.core.reasons import CATALOGUE, Reason, past
from hal0app.core.slot import State
from hal0app.web.buttons import by_whom
from hal0app.web.vocabulary import BY_REASON, duration

LINES = 20


@dataclass(frozen=True)
class Line:
    """One event. `at` is Unix seconds; empty texts are not shown."""

    at: int
    word: str
    cause: str = ""
    by: str = ""
    took: str = ""


def history(entries: Sequence[Entry]) -> tuple[Line, ...]:
    """The newest `LINES` events; `entries` are one slot's, newest first."""
    return tuple(line for line, _ in zip(_lines(entries), range(LINES), strict=False))


def _lines(entries: Sequence[Entry]) -> Iterator[Line]:
    for entry in entries:
        tell = TELL.get(entry.kind)
        line = tell(entry) if tell else None
        if line is not None:
            yield line


def _acted(word: str) -> Any:
    """Tells how an operation ended."""

    def tell(entry: Entry) -> Line:
        cause = Cause(**entry.data.get("cause") or {})
        if entry.data.get("code"):
            return Line(round(entry.ts), "Failed", entry.message, by_whom(cause))
        took = entry.data.get("load_ms")
        return Line(
            round(entry.ts), word, entry.model or "", by_whom(cause), duration(took) if took is not None else ""
        )

    return tell


def _left(entry: Entry) -> Line | None:
    """A loss; what was asked for is told by the operation that did it."""
    reason = Reason(entry.data.get("reason") or "")
    told = reason in {Reason.CRASH_LOOP, Reason.INVALID_CONFIG} or CATALOGUE[reason].lost
    offline = entry.data.get("to") in {State.OFFLINE, State.ERROR}
    if not (told and offline):
        return None
    word = BY_REASON[reason].word
    words = past(entry.message.partition(": ")[2])
    words = words[len(word) :].lstrip() if words.lower().startswith(word.lower()) else words
    by = "hal0" if reason is Reason.DISPLACED else "Lemonade"
    return Line(round(entry.ts), word, words, "" if reason is Reason.CRASHED else by)


def _changed(entry: Entry) -> Line:
    text = entry.message.removeprefix(f"slot {entry.slot} was ")
    word, text = ("Swapped", text.removeprefix("swapped ")) if text.startswith("swapped ") else ("Changed", text)
    return Line(round(entry.ts), word, "" if text == "changed" else text, entry.agent or "")


TELL: dict[str, Any] = {
    "slot.load": _acted("Loaded"),
    "slot.unload": _acted("Unloaded"),
    "slot.keep": _acted("Kept for another slot"),
    "slot.clear": _acted("Failures forgotten"),
    "slot.state": _left,
    "evict.displaced": _left,
    "slot.config": _changed,
}
