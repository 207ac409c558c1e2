"""Server-sent events, as far as hal0 must understand them: where events end, and what the first one says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(r"\r\n|\r|\n")

BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")

# Errors of a first event after which a reload and one replay are right (lemonade-contract.md section 4, shape C).
REPLAYABLE = frozenset({"model_not_loaded", "backend_unavailable", "backend_watchdog_reset"})


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The complete events in `buffer` (each with its blank line) and the rest."""
    events, start = [], 0
    for end in _END.finditer(buffer):
        events.append(buffer[start : end.end()])
        start = end.end()
    return events, buffer[start:]


def data(event: bytes) -> str | None:
    """The data of one event, lines joined; None for a comment or an event without data."""
    lines = [line for line in _LINE.split(event.decode("utf-8", "replace")) if line.startswith("data:")]
    return "\n".join(line[5:].removeprefix(" ") for line in lines) if lines else None


def first_data(buffer: bytes) -> str | None:
    """The data of the first event that has any; None while there is none yet. Comments are not events."""
    end = buffer.find(b"\n")
    if buffer.startswith(b"data:") and buffer.startswith(b"\n\n", end) and buffer.find(b"\r", 0, end) < 0:
        return buffer[5:end].decode("utf-8", "replace").removeprefix(" ")  # one line, as it is mostly
    events, _ = split(buffer)
    return next((found for event in events if (found := data(event)) is not None), None)


def failure(text: str) -> dict[str, Any] | None:
    """The error object when an event's data is an error, else None."""
    if not text.startswith("{") or '"error"' not in text:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else None


def replayable(error: dict[str, Any]) -> bool:
    """Whether the error says that the model went away rather than that the request is bad."""
    details = error.get("details")
    told = [error.get("type"), error.get("code"), details.get("code") if isinstance(details, dict) else None]
    return any(isinstance(word, str) and word in REPLAYABLE for word in told)


def frame(text: str, event: str | None = None) -> bytes:
    """One event carrying `text`; every kind of line end in it becomes a data line of its own."""
    head = f"event: {event}\n" if event else ""
    return (head + "".join(f"data: {line}\n" for line in _LINE.split(text)) + "\n").encode()


def comment(text: str) -> bytes:
    """A comment line: keeps a connection warm and is no event."""
    return f": {_LINE.sub(' ', text)}\n\n".encode()


def frames(parts: Iterator[str]) -> Iterator[bytes]:
    """Every part as one event."""
    return (frame(part) for part in parts)
