"""Where the body of an HTTP/1.1 message is: what of its bytes is payload, where it ends, where something fits between.

A framing is fed the raw bytes as they come and says which of them are payload (RFC 9112 section 6). It is strict: what
two readers could read differently is Malformed, so that raw bytes can be passed on without being looked at again.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

Span = tuple[int, int]
Spans = list[Span]

TAIL_BYTES = 4  # enough to see the blank line that ends an event
LINE_BYTES = 8192
TRAILER_BYTES = 65536

LAST_CHUNK = b"0\r\n\r\n"
LONGEST_WHOLE = 4096  # bytes of a chunk that WHOLE knows
SEEN_BYTES = 4096  # of a longer piece it takes too long to find out whether it is the one of before

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_USUAL = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class Malformed(Exception):
    """The bytes are not HTTP/1.1 as everybody reads it."""


def _whole() -> dict[int, bytes]:
    lines = (b"%x\r\n" % size for size in range(TAIL_BYTES, LONGEST_WHOLE))
    return {len(line) + int(line, 16) + 2: line for line in lines}


# How a chunk that is so many bytes long begins, as servers mostly write it: then one comparison tells that a piece is
# one whole chunk, as a token of a stream mostly is.
WHOLE = _whole()


def whole_chunks(data: bytes) -> tuple[tuple[Span, ...], int]:
    """The payload of the chunks at the beginning that are there to their last byte, and the place after them.

    Those that are written in another way than usual are left, and the last one, which is empty.
    """
    return _seen(data) if len(data) <= SEEN_BYTES else _look_for_whole_chunks(data)


def _look_for_whole_chunks(data: bytes) -> tuple[tuple[Span, ...], int]:
    spans: Spans = []
    at, usual = 0, _USUAL.match
    while (line := usual(data, at)) is not None:
        start = line.end()
        end = start + int(line[1], 16)
        if end == start or not data.startswith(b"\r\n", end):
            break
        spans.append((start, end))
        at = end + 2
    return tuple(spans), at


# The framing asks, and right after it whoever watches the same piece pass.
_seen = lru_cache(maxsize=4)(_look_for_whole_chunks)


class Framing:
    """`done` once the body has ended; `used` bytes of the piece fed last belong to it, `surplus` when others follow.

    `tail` holds the last few bytes of payload. `boundary`: a chunk could be put in here without breaking one of the
    upstream's.
    """

    def __init__(self) -> None:
        self.done = False
        self.used = 0
        self.surplus = False
        self.tail = b""
        self.boundary = False

    def feed(self, data: bytes) -> Spans:
        """Where in `data` the payload is. Raises Malformed."""
        raise NotImplementedError

    def passes(self, data: bytes) -> bool:
        """Whether the piece is one whole chunk between two chunks, and noted as such; else it is to be fed."""
        return False

    def ended(self) -> bool:
        """The connection has ended: whether the body is whole."""
        return self.done

    def fresh(self) -> Framing:
        """The same framing before its first byte."""
        return type(self)()

    def _note(self, data: bytes, start: int, end: int) -> None:
        few = end - start < TAIL_BYTES
        self.tail = (self.tail + data[start:end])[-TAIL_BYTES:] if few else data[end - TAIL_BYTES : end]


class Length(Framing):
    """A body of `length` bytes; 0 for an answer without one."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = self.left = length
        self.done = length == 0

    def feed(self, data: bytes) -> Spans:
        self.used = min(len(data), self.left)
        self.surplus = self.used < len(data)
        if not self.used:
            return []
        self._note(data, 0, self.used)
        self.left -= self.used
        self.done = self.left == 0
        return [(0, self.used)]

    def fresh(self) -> Length:
        return Length(self.length)


class UntilClose(Framing):
    """A body that ends with its connection."""

    def __init__(self) -> None:
        super().__init__()
        self.boundary = True

    def feed(self, data: bytes) -> Spans:
        self.used = len(data)
        self._note(data, 0, self.used)
        return [(0, self.used)]

    def ended(self) -> bool:
        self.done = True
        return True


class _At(Enum):
    SIZE = "the size of a chunk"
    DATA = "its data"
    AFTER = "the line end after its data"
    TRAILER = "the trailers"


class Chunked(Framing):
    """A body in chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._at = _At.SIZE
        self._left = 0  # bytes of this chunk's data that are to come
        self._part = b""  # the beginning of a line
        self._trailers = 0
        self.boundary = True

    def passes(self, data: bytes) -> bool:
        line = WHOLE.get(len(data))
        if line is None or not (self.boundary and data.startswith(line) and data.endswith(b"\r\n")):
            return False
        self.tail = data[-2 - TAIL_BYTES : -2]
        return True

    def feed(self, data: bytes) -> Spans:
        whole, at = whole_chunks(data) if self.boundary else ((), 0)
        spans, size = list(whole), len(data)
        self._note_whole(data, whole)
        if self.boundary and size - at == len(LAST_CHUNK) and data.endswith(LAST_CHUNK):
            at, self._at, self.done = size, _At.TRAILER, True
        while at < size and not self.done:
            if self._at is _At.DATA:
                end = min(size, at + self._left)
                spans.append((at, end))
                self._note(data, at, end)
                self._left -= end - at
                at = end
                if not self._left:
                    self._at = _At.AFTER
            else:
                at = self._line(data, at)
        self.used, self.surplus = at, at < size
        self.boundary = self._at is _At.SIZE and not self._part
        return spans

    def _note_whole(self, data: bytes, whole: tuple[Span, ...]) -> None:
        """Note chunks; none is empty, so that the tail is in the last few, and mostly in the last one."""
        few = bool(whole) and whole[-1][1] - whole[-1][0] < TAIL_BYTES
        for start, end in whole[-TAIL_BYTES:] if few else whole[-1:]:
            self._note(data, start, end)

    def _line(self, data: bytes, at: int) -> int:
        """Read on from `at` to the end of the line, if it is there; the place after it."""
        end = data.find(b"\n", at)
        if end < 0:
            self._part += data[at:]
            if len(self._part) > LINE_BYTES:
                raise Malformed(f"a line of more than {LINE_BYTES} bytes in {self._at.value}")
            return len(data)
        line, self._part = self._part + data[at:end], b""
        if not line.endswith(b"\r") or len(line) > LINE_BYTES:
            raise Malformed(f"a line does not end as it should in {self._at.value}")
        self._read(line[:-1])
        return end + 1

    def _read(self, line: bytes) -> None:
        if self._at is _At.SIZE:
            told = _SIZE.fullmatch(line)
            if told is None:
                raise Malformed(f"{line[:40]!r} is not the size of a chunk")
            self._left = int(told[1], 16)
            self._at = _At.DATA if self._left else _At.TRAILER
        elif self._at is _At.AFTER:
            if line:
                raise Malformed("a chunk is longer than its size")
            self._at = _At.SIZE
        elif not line:
            self.done = True
        else:
            self._trailers += len(line)
            if _TRAILER.fullmatch(line) is None or self._trailers > TRAILER_BYTES:
                raise Malformed(f"{line[:40]!r} is not a trailer")


def chunk(payload: bytes) -> bytes:
    """One chunk of `payload`, which must not be empty."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)
