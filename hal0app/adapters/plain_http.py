"""One GET over a socket of its own, for `hal0 drift`: importing http.client costs a third of the CPU of a whole run.

It speaks HTTP/1.0, so that the answer is neither chunked nor kept alive and ends with the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from hal0app.adapters.connecting import connected

LARGEST = 16 << 20  # bytes of an answer; lemond's health is some kilobytes
PIECE = 65536


class NotHttp(ValueError):
    """What came back is no HTTP answer, is cut short, or is larger than any that is expected."""


def get(host: str, port: int, path: str, headers: Mapping[str, str], timeout_s: float | None) -> tuple[int, bytes]:
    """Status and body. `timeout_s` bounds the connecting and every wait for bytes. Raises OSError, NotHttp."""
    lines = [f"GET {path} HTTP/1.0", f"Host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    with connected((host, port), timeout_s) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return _parse(_all(connection))


def _all(connection: socket.socket) -> bytes:
    read = bytearray()
    while piece := connection.recv(PIECE):
        read += piece
        if len(read) > LARGEST:
            raise NotHttp("the answer is too large")
    return bytes(read)


def _parse(answer: bytes) -> tuple[int, bytes]:
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    words = first.split(b" ", 2)
    if not end or not words[0].startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise NotHttp("this is no HTTP answer")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit() and len(body) < int(value):
            raise NotHttp("the answer was cut short")
    return int(words[1]), body
