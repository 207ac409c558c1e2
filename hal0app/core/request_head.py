"""The head of an HTTP/1.1 request, as bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINE = re.compile(r"[A-Z]+ [!-~]+")
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*")


def write(method: str, target: str, host: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head with its blank line. ValueError when a part of it would end a line or cannot be sent."""
    line = f"{method} {target}"
    if _LINE.fullmatch(line) is None:
        raise ValueError(f"{line[:80]!r} cannot be sent")
    lines = [f"{line} HTTP/1.1", f"Host: {host}"]
    for name, value in headers:
        field = f"{name}: {value}"
        if _FIELD.fullmatch(field) is None:
            raise ValueError(f"the header {field[:80]!r} cannot be sent")
        lines.append(field)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
