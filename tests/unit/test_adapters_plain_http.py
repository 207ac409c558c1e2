"""The small GET of the drift checker, against servers that answer well and badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from hal0app.adapters import plain_http

Serve = Callable[[bytes], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers one request with these bytes and closes; returns its port."""
    started: list[tuple[socket.socket, threading.Thread]] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer, args=(listener, answer))
        thread.start()
        started.append((listener, thread))
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener, thread in started:
        thread.join()
        listener.close()


def _answer(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4096)
        connection.sendall(answer)


def get(port: int) -> tuple[int, bytes]:
    return plain_http.get("127.0.0.1", port, "/live", {"Authorization": "Bearer k"}, 5.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", (200, b"hi")),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", (404, b"")),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, b"until the end")),
        (b"HTTP/1.1 503\r\nX: y\r\n\r\n{}", (503, b"{}")),
    ],
)
def test_an_answer_is_read_to_its_end(serve: Serve, answer: bytes, expected: tuple[int, bytes]) -> None:
    assert get(serve(answer)) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        b"HTTP/1.1 x\r\n\r\n",
    ],
    ids=["nothing", "another protocol", "half a head", "half a body", "no status"],
)
def test_what_is_no_whole_answer_is_refused(serve: Serve, answer: bytes) -> None:
    with pytest.raises(plain_http.NotHttp):
        get(serve(answer))


def test_an_answer_without_end_is_not_read_for_ever(serve: Serve) -> None:
    with pytest.raises((plain_http.NotHttp, OSError)):
        get(serve(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (plain_http.LARGEST + 1)))
