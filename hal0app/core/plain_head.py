"""The head of a plain request for inference, as most programs send it, read more strictly than HTTP asks.

Whatever is unusual about a head is not judged here: it is not plain, and whoever reads all of HTTP reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from hal0app.core.endpoints import ENDPOINTS, PREFIXES, Endpoint

HEAD_BYTES = 32 << 10
FIELDS = 64
FIELD_BYTES = 8000
BODY_BYTES = 1 << 20

TARGETS: dict[bytes, tuple[str, Endpoint]] = {
    (prefix + name).encode(): (prefix + name, endpoint)
    for endpoint in ENDPOINTS
    if not endpoint.form
    for prefix in PREFIXES
    for name in endpoint.names
}

# What changes how a message or its connection is read, or what a proxy says in the client's name.
NOT_PLAIN = frozenset(
    {
        *("transfer-encoding", "te", "trailer", "expect", "upgrade", "http2-settings", "proxy-connection"),
        *("keep-alive", "content-encoding", "x-forwarded-for", "x-forwarded-proto"),
        *("x-forwarded-protocol", "x-forwarded-ssl"),
    }
)
NEEDED = ("host", "content-length")

_START = b"POST "
_END = b"\r\n\r\n"
_VERSION = b" HTTP/1.1"
# Names as RFC 9110 has them, without "_", which some take for "-"; no byte that is not ASCII.
_FIELD = re.compile(rb"([!#$%&'*+\-.^`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e]*)")
_LENGTH = re.compile(r"[1-9][0-9]{0,6}")
_LONGEST_LENGTH = 7
_BEFORE_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*", re.IGNORECASE)
_CONNECTION = {"": False, "keep-alive": False, "close": True}


@dataclass(slots=True)
class PlainHead:
    """`path` as it came; `fields` by their names in lower case. `end` is where the body begins.

    `known` is what was found out about it: one for all heads of a connection that only differ in the length.
    """

    path: str
    endpoint: Endpoint
    fields: dict[str, str]
    names: list[str]
    content_length: int
    closes: bool
    end: int
    known: dict[str, Any] = field(default_factory=dict)


class Heads:
    """Reads the heads of one connection. Most programs repeat theirs, but for the length: then it is compared only."""

    __slots__ = ("_after", "_before", "_last")

    def __init__(self) -> None:
        self._last: PlainHead | None = None
        self._before = self._after = b""  # the last head, up to its length and from there on

    def read(self, data: bytes) -> PlainHead | None:
        """As the function `read`."""
        head = self._repeated(data) if self._last is not None and data.startswith(self._before) else None
        if head is None and (head := read(data)) is not None:
            before = _BEFORE_LENGTH.search(data)
            assert before is not None
            self._before = data[: before.end()]
            self._after = data[before.end() + len(head.fields["content-length"]) : head.end]
            self._last = head
        return head

    def _repeated(self, data: bytes) -> PlainHead | None:
        last, at = self._last, len(self._before)
        to = data.find(b"\r", at, at + _LONGEST_LENGTH + 1)
        if last is None or to < 0 or not data.startswith(self._after, to):
            return None
        length, end = data[at:to].decode("latin-1"), to + len(self._after)
        if length == last.fields["content-length"]:
            return last
        if end > HEAD_BYTES or not _is_length(length):
            return None
        fields = {**last.fields, "content-length": length}
        return PlainHead(last.path, last.endpoint, fields, last.names, int(length), last.closes, end, last.known)


def read(data: bytes) -> PlainHead | None:
    """The plain head at the beginning of `data`; None when there is none, or not all of it."""
    if not data.startswith(_START):
        return None
    end = data.find(_END, 0, HEAD_BYTES)
    if end < 0:
        return None
    line, *lines = data[:end].split(b"\r\n")
    found = TARGETS.get(line[len(_START) : -len(_VERSION)]) if line.endswith(_VERSION) else None
    if found is None or len(lines) > FIELDS:
        return None
    fields: dict[str, str] = {}
    names: list[str] = []
    for one in lines:
        told = _FIELD.fullmatch(one)
        if told is None or len(one) > FIELD_BYTES:
            return None
        name = told[1].decode("ascii")
        names.append(name)
        fields[name.lower()] = told[2].rstrip(b" \t").decode("ascii")
    if len(fields) < len(names) or not NOT_PLAIN.isdisjoint(fields):
        return None
    return _sized(found, fields, names, end + len(_END))


def _sized(found: tuple[str, Endpoint], fields: dict[str, str], names: list[str], end: int) -> PlainHead | None:
    length, closes = fields.get("content-length", ""), _CONNECTION.get(fields.get("connection", "").lower())
    if not _is_length(length) or closes is None or "host" not in fields:
        return None
    if fields.get("content-type", "").lower().startswith("multipart/"):
        return None
    return PlainHead(*found, fields, names, int(length), closes, end)


def _is_length(text: str) -> bool:
    return _LENGTH.fullmatch(text) is not None and int(text) <= BODY_BYTES
