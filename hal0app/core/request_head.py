"""The head of an HTTP/1.1 request, as bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

_LINE = re.compile(r"[A-Z]+ [!-~]+")
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*")
_FIELDS = re.compile(rf"(?:{_FIELD.pattern}\r\n)*")


class Fields(tuple[tuple[str, str], ...]):
    """Headers that are sent again and again: their text is made once."""

    @cached_property
    def text(self) -> str:
        """The lines. ValueError when one would end early or cannot be sent."""
        return _text(self)


def write(method: str, target: str, host: str, headers: Sequence[tuple[str, str]], *more: tuple[str, str]) -> bytes:
    """The head with its blank line. ValueError when a part of it would end a line or cannot be sent."""
    fields = headers.text if isinstance(headers, Fields) else _text(headers)
    return f"{_first(method, target, host)}{fields}{_text(more)}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _first(method: str, target: str, host: str) -> str:
    line = f"{method} {target}"
    if _LINE.fullmatch(line) is None:
        raise ValueError(f"{line[:80]!r} cannot be sent")
    return f"{line} HTTP/1.1\r\nHost: {host}\r\n"


def _text(headers: Iterable[tuple[str, str]]) -> str:
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    fields = "".join(lines)
    if _FIELDS.fullmatch(fields) is None or fields.count("\n") != len(lines):
        wrong = next(one for one in lines if _FIELD.fullmatch(one[:-2]) is None)
        raise ValueError(f"the header {wrong[:80]!r} cannot be sent")
    return fields
