"""Watches an answer pass: when its content began and how fast it came, without parsing what it says.

The bytes are cut into lines, and of each event's data a few searches tell whether it carries content. Most pieces of a
stream are one chunk with one event that begins as the one before did; these are compared only. Only at the end is JSON
read, and only where tokens are counted. Fed with any cuts of the same bytes it tells the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from hal0app.core import sse, usage
from hal0app.core.dialect import leading_code
from hal0app.core.framing import WHOLE
from hal0app.core.unchunked import Unchunked

ENDS = 2048  # bytes that are kept of each end of a long line, or of a body that is no stream: 4 KB in all
_MARGIN = 2 * ENDS

# A string that is not empty, under a name that the dialects give to what the model says.
_CONTENT = re.compile(
    rb'("(?:content|text|delta|reasoning_content|reasoning|thinking|partial_json|arguments|refusal|audio|b64_json)"'
    rb'\s*:\s*")(?!")|"tool_calls"\s*:\s*\[\s*\{'
)
# Events that repeat what was said before, or announce what will be.
_REPEATS = re.compile(rb'"type"\s*:\s*"[\w.]*\.(?:added|completed|created|done|failed|in_progress|incomplete)"')
_DONE = b"[DONE]"
_OPENING = b'"message_start"'
_whole = WHOLE.get
_QUOTE = ord('"')
_NEWLINE = ord("\n")
_CLOSED = b"\n\n\r\n"  # how a chunk ends that ends with an event
# How a chunked body begins, and how no event stream and no JSON does.
_FRAMED = re.compile(rb"[0-9a-fA-F]{1,16}[ \t]*(?:;[^\n]*)?\r\n")
_MAY_BE_FRAMED = re.compile(rb"[0-9a-fA-F]{1,16}[ \t]*(?:;[^\n]*)?\r?\Z")


@dataclass(frozen=True)
class Figures:
    """What passed. Ticks are those of the tap's clock, times in seconds; None is what is not known.

    `events` are those with content. `estimated`: `tokens_out` is their number, for the answer told no other.
    `error` is the code or type of the error that an answer is, or that a stream ended with.
    """

    size: int = 0
    first: float | None = None
    last: float | None = None
    events: int = 0
    longest_gap_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    estimated: bool = False
    tokens_per_s: float | None = None
    error: str | None = None

    @property
    def gap_s(self) -> float | None:
        """The mean time between two events with content."""
        if self.events < 2 or self.first is None or self.last is None:
            return None
        return (self.last - self.first) / (self.events - 1)


NOTHING_PASSED = Figures()


class Tap:
    """Call it with every piece of a body, raw or without its framing; `figures` tells at the end. Never raises.

    `streams`: the body is an event stream. `tick` is a clock in seconds.
    """

    __slots__ = (
        *("_alike", "_before", "_begun", "_earlier", "_events", "_first", "_kept", "_last", "_latest", "_longest"),
        *("_marker", "_opening", "_piece", "_size", "_streams", "_tick", "_unframe"),
    )

    def __init__(self, tick: Callable[[], float], streams: bool) -> None:
        self._tick, self._streams = tick, streams
        self._size = self._events = 0
        self._first = self._last = self._longest = 0.0
        self._begun = False
        self._unframe: Unchunked | None = None
        self._kept = b""  # a stream's unfinished line, else both ends of the body
        self._marker = b""  # what the content of this stream stands behind
        self._opening = self._before = self._latest = b""  # lines of data
        self._alike = b""  # how the next event begins, up to its content, if it is like the last one
        self._earlier = self._piece = b""  # the last such chunks, whose lines come after `_latest`

    def repeats(self, piece: bytes) -> int:
        """The length of a piece that is one whole chunk with one event like the last, which is seen then; else 0."""
        size, alike, line = len(piece), self._alike, _whole(len(piece))
        if not alike or line is None or not piece.startswith(line):
            return 0
        content = len(line) + len(alike)
        if (
            not piece.startswith(alike, len(line))
            or piece.find(b"\n", content) != size - len(_CLOSED)
            or not piece.endswith(_CLOSED)
            or piece[content] == _QUOTE
        ):
            return 0
        now = self._tick()
        if now - self._last > self._longest:
            self._longest = now - self._last
        self._last = now
        self._size += size
        self._events += 1
        self._earlier, self._piece = self._piece, piece
        return size

    def see(self, piece: bytes) -> None:
        """See the next piece."""
        if not self.repeats(piece):
            self._look_into(piece)

    __call__ = see

    def _look_into(self, piece: bytes) -> None:
        self._size += len(piece)
        self._catch_up()
        even, events, raw = self._even, self._events, piece
        if self._unframe is not None:
            piece = self._unframe(piece)
        elif not self._begun:
            piece = self._begin(piece)
        if self._streams:
            self._lines(piece)
            self._alike = self._likeness(raw) if even and self._even and self._events == events + 1 else b""
        else:
            self._kept = _ends(self._kept + piece)

    @property
    def _even(self) -> bool:
        """Whether a chunk and a line are to begin."""
        return self._unframe is not None and self._unframe.between and not self._kept

    def _likeness(self, piece: bytes) -> bytes:
        """How the event in a chunk of its own begins, up to its content; nothing when it is none to be compared."""
        line = WHOLE.get(len(piece))
        if line is None or not piece.startswith(line) or not piece.endswith(_CLOSED) or not self._marker:
            return b""
        begin = piece.find(b"data:", len(line))
        content = piece.find(self._marker, begin) + len(self._marker)
        if (
            piece[begin - 1] != _NEWLINE
            or content < begin + len(self._marker)
            or piece[content] == _QUOTE
            or piece.count(b"\n", begin, content)
        ):
            return b""
        return piece[len(line) : content]

    def _catch_up(self) -> None:
        """Keep the lines of data of the chunks that were compared only."""
        for piece in (self._earlier, self._piece):
            if piece:
                self._before, self._latest = self._latest, piece[piece.index(b"data:") : -len(_CLOSED)]
        self._earlier = self._piece = b""

    def _begin(self, piece: bytes) -> bytes:
        """Find out whether the body is framed; until that is clear nothing comes out."""
        read = self._kept + piece
        self._kept = b""
        if _FRAMED.match(read):
            self._unframe = Unchunked()
            self._begun = True
            return self._unframe(read)
        if not read or (_MAY_BE_FRAMED.match(read) and len(read) < ENDS):
            self._kept = read
            return b""
        self._begun = True
        return read

    def _lines(self, piece: bytes) -> None:
        if not self._begun:
            return
        lines = (self._kept + piece if self._kept else piece).split(b"\n")
        kept = lines.pop()
        self._kept = _ends(kept) if len(kept) > _MARGIN else kept
        fresh = 0
        for line in lines:
            if line.startswith(b"data:"):
                fresh += self._data(_ends(line) if len(line) > _MARGIN else line)
        if fresh:
            self._came(fresh)

    def _data(self, line: bytes) -> bool:
        """Whether the line carries content."""
        at = line.find(self._marker) + len(self._marker) if self._marker else 0
        if at > len(self._marker) and line[at : at + 1] != b'"':
            self._before, self._latest = self._latest, line
            return True
        if len(line) < 20 and _DONE in line:
            return False
        self._before, self._latest = self._latest, line
        found = _CONTENT.search(line)
        if found is None or _REPEATS.search(line):
            if _OPENING in line:
                self._opening = line
            return False
        self._marker = found[1] or b""
        return True

    def _came(self, fresh: int) -> None:
        now = self._tick()
        if self._events:
            self._longest = max(self._longest, now - self._last)
        else:
            self._first = now
        self._last = now
        self._events += fresh

    def figures(self) -> Figures:
        """What has passed until now."""
        self._catch_up()
        parts = [self._opening, self._before, self._latest] if self._streams else [self._kept]
        told = usage.read(parts)
        events, length = self._events, self._last - self._first
        out = told.tokens_out if told.tokens_out is not None else (events or None)
        per_s = told.per_s
        if per_s is None and out is not None and out > 1 and length > 0:
            per_s = (out - 1) / length
        return Figures(
            size=self._size,
            first=self._first if events else None,
            last=self._last if events else None,
            events=events,
            longest_gap_s=self._longest if events > 1 else None,
            tokens_in=told.tokens_in,
            tokens_out=out,
            estimated=told.tokens_out is None and out is not None,
            tokens_per_s=per_s,
            error=_error(self._latest.removeprefix(b"data:") if self._streams else self._kept),
        )


def _ends(text: bytes) -> bytes:
    """Both ends of a long text; more bytes at its end may be added to the result as if to the text itself."""
    return text if len(text) <= _MARGIN else text[:ENDS] + text[-ENDS:]


def _error(text: bytes) -> str | None:
    """The word for the error that the text is; None when it is none."""
    if b'"error"' not in text:
        return None
    told = sse.failure(text.decode("utf-8", "replace").strip())
    if told is None:
        return None
    words = [told.get("code"), leading_code(told.get("message")), told.get("type")]
    return next((word[:100] for word in words if isinstance(word, str) and word), "unnamed")
