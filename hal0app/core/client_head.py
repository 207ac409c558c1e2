"""The head of an answer as it is written to a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from hal0app.core.headers import Header


def closes(environ: Mapping[str, str]) -> bool:
    """Whether the connection ends with this request."""
    wishes = {wish.strip(" \t") for wish in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    if "close" in wishes or wishes == {"keep-alive"}:
        return "close" in wishes
    return environ.get("SERVER_PROTOCOL", "HTTP/1.0") <= "HTTP/1.0"


def write(status: str, headers: Iterable[Header], usual: tuple[Header, ...] = ()) -> bytes:
    """The head with its blank line; ValueError when a part of it would end a line early.

    The `usual` headers, which come first, are those of many answers: their text is made once.
    """
    return f"{_usual(status, usual)}{_lines(headers)}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _usual(status: str, headers: tuple[Header, ...]) -> str:
    return _checked(f"HTTP/1.1 {status}\r\n", 1) + _lines(headers)


def _lines(headers: Iterable[Header]) -> str:
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    return _checked("".join(lines), len(lines))


def _checked(text: str, lines: int) -> str:
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError("a header holds a line end")
    return text
