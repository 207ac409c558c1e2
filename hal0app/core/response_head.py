"""The head of an HTTP/1.1 answer, read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from hal0app.core.framing import Chunked, Framing, Length, Malformed, UntilClose
from hal0app.core.headers import Headers

HEAD_BYTES = 65536
BODILESS = frozenset({204, 304})

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Head(msgspec.Struct, frozen=True):
    """`headers` come without Transfer-Encoding; `reusable`: the connection stays open after the body."""

    status: int
    headers: Headers
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


def _parse(text: bytes, method: str) -> Head:
    first, *lines = text.split(b"\r\n")
    told = _STATUS.fullmatch(first)
    if told is None:
        raise Malformed(f"{first[:40]!r} is not the status of an answer")
    minor, status = int(told[1]), int(told[2])
    headers, codings, lengths, connection = _fields(lines)
    framing = _framing(status, method, minor, codings, lengths)
    if lengths:
        headers.append(("Content-Length", lengths.pop()))
    reusable = minor == 1 and "close" not in connection and not isinstance(framing, UntilClose)
    return Head(status, headers, framing, reusable)


def _fields(lines: list[bytes]) -> tuple[Headers, list[str], set[str], set[str]]:
    """The headers; apart from them the transfer codings, the lengths, and what Connection says."""
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
    return headers, codings, lengths, connection


@lru_cache(maxsize=256)
def _field(line: bytes) -> tuple[str, str, str]:
    """A header's name as it came and in lower case, and its value; servers say the same with every answer."""
    told = _FIELD.fullmatch(line)
    if told is None:
        raise Malformed(f"{line[:40]!r} is not a header")
    name = told[1].decode("ascii")
    return name, name.lower(), told[2].decode("latin-1")


def _framing(status: int, method: str, minor: int, codings: list[str], lengths: set[str]) -> Framing:
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise Malformed(f"its length is said to be {' and '.join(sorted(lengths))[:60]}")
    if codings and (codings != ["chunked"] or lengths or minor == 0):
        raise Malformed(f"a body cannot be told apart from what follows: {', '.join(codings)[:60]}")
    if method == "HEAD" or status < 200 or status in BODILESS:
        return Length(0)
    if codings:
        return Chunked()
    return Length(int(next(iter(lengths)))) if lengths else UntilClose()
