"""The head of an answer as it is written to a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def closes(environ: Mapping[str, str]) -> bool:
    """Whether the connection ends with this request."""
    wishes = {wish.strip(" \t") for wish in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    if "close" in wishes or wishes == {"keep-alive"}:
        return "close" in wishes
    return environ.get("SERVER_PROTOCOL", "HTTP/1.0") <= "HTTP/1.0"


def write(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head with its blank line; ValueError when a part of it would end a line early."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = f"HTTP/1.1 {status}\r\n{''.join(lines)}"
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise ValueError("a header holds a line end")
    return f"{text}\r\n".encode("latin-1")
