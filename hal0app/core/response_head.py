"""The head of an HTTP/1.1 answer, read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

from hal0app.core.framing import Chunked, Framing, Length, Malformed, UntilClose
from hal0app.core.headers import Header, Headers

HEAD_BYTES = 65536
BODILESS = frozenset({204, 304})

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
# The length as servers mostly write it; one that is written in another way stays among the lines.
_SIZED = re.compile(rb"\r\n[Cc]ontent-[Ll]ength:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n|\Z)")


class Head(msgspec.Struct, frozen=True):
    """`headers` have no Transfer-Encoding, and the length last; `reusable`: the connection stays open afterwards."""

    status: int
    headers: tuple[Header, ...]
    framing: Framing
    reusable: bool


def read(data: bytes, method: str) -> tuple[Head, bytes] | None:
    """The head of the final answer to `method` and the bytes after it; None while it is not complete.

    Interim answers (1xx) are skipped. Raises Malformed.
    """
    while (end := data.find(b"\r\n\r\n")) >= 0:
        if end > HEAD_BYTES:
            break
        head = _parse(data[:end], method)
        data = data[end + 4 :]
        if head.status >= 200:
            return head, data
        if head.status == 101:
            raise Malformed("it switched to another protocol, unasked")
    if len(data) > HEAD_BYTES:
        raise Malformed(f"a head of more than {HEAD_BYTES} bytes")
    if not data.startswith(b"HTTP/1."[: len(data)]):
        raise Malformed(f"{data[:40]!r} is not HTTP/1.1")
    return None


class _Told(NamedTuple):
    """What the lines of a head tell. `codings` and `lengths` are as they came; `closes`: Connection says so."""

    status: int
    minor: int
    headers: tuple[Header, ...]
    codings: tuple[str, ...]
    lengths: frozenset[str]
    closes: bool


def _parse(text: bytes, method: str) -> Head:
    sized = _SIZED.search(text)
    told = _told(text if sized is None else text[: sized.start()] + text[sized.end() :])
    lengths = told.lengths if sized is None else told.lengths | {sized[1].decode()}
    framing = _framing(told, method, lengths)
    headers = (*told.headers, ("Content-Length", next(iter(lengths)))) if lengths else told.headers
    reusable = told.minor == 1 and not told.closes and not isinstance(framing, UntilClose)
    return Head(told.status, headers, framing, reusable)


@lru_cache(maxsize=16)
def _told(text: bytes) -> _Told:
    """What a head tells but for its length, mostly: with that left out servers say the same again and again."""
    first, *lines = text.split(b"\r\n")
    told = _STATUS.fullmatch(first)
    if told is None:
        raise Malformed(f"{first[:40]!r} is not the status of an answer")
    headers: Headers = []
    codings: list[str] = []
    lengths: set[str] = set()
    connection: set[str] = set()
    for line in lines:
        name, lower, value = _field(line)
        if lower == "transfer-encoding":
            codings.append(value.lower())
        elif lower == "content-length":
            lengths.add(value)
        else:
            headers.append((name, value))
            if lower == "connection":
                connection.update(one.strip().lower() for one in value.split(","))
    closes = "close" in connection
    return _Told(int(told[2]), int(told[1]), tuple(headers), tuple(codings), frozenset(lengths), closes)


def _field(line: bytes) -> tuple[str, str, str]:
    """A header's name as it came and in lower case, and its value."""
    told = _FIELD.fullmatch(line)
    if told is None:
        raise Malformed(f"{line[:40]!r} is not a header")
    name = told[1].decode("ascii")
    return name, name.lower(), told[2].decode("latin-1")


def _framing(told: _Told, method: str, lengths: frozenset[str]) -> Framing:
    if lengths and (len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths))):
        raise Malformed(f"its length is said to be {' and '.join(sorted(lengths))[:60]}")
    codings, status = told.codings, told.status
    if codings and (codings != ("chunked",) or lengths or told.minor == 0):
        raise Malformed(f"a body cannot be told apart from what follows: {', '.join(codings)[:60]}")
    if method == "HEAD" or status < 200 or status in BODILESS:
        return Length(0)
    if codings:
        return Chunked()
    return Length(int(next(iter(lengths)))) if lengths else UntilClose()
