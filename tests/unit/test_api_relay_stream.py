"""api/relay_stream: hal0's own streams reach who reads, and give up on who does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response
from gunicorn.workers.base_async import ALREADY_HANDLED

from hal0app.api.relay_stream import OwnStream


class Frames:
    """Frames of a stream, and whether somebody said that it is over."""

    def __init__(self, *frames: bytes) -> None:
        self._frames = iter(frames)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._frames

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def send(near: socket.socket, frames: Frames, protocol: str = "HTTP/1.1", start_response: Any = None) -> Any:
    made = Response(frames, mimetype="text/event-stream")  # type: ignore[arg-type]
    environ = {"gunicorn.socket": near, "SERVER_PROTOCOL": protocol, "REQUEST_METHOD": "GET"}
    return OwnStream(made, stall_s=0.2)(environ, start_response)


def test_a_stream_goes_out_in_chunks_and_its_connection_stays(pair: Any) -> None:
    frames = Frames(b": a\n\n", b"", b": b\n\n")
    assert send(pair[0], frames) is ALREADY_HANDLED
    head, _, body = pair[1].recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"5\r\n: a\n\n\r\n5\r\n: b\n\n\r\n0\r\n\r\n"
    assert frames.closed


def test_an_old_client_gets_it_bare_and_its_connection_ends(pair: Any) -> None:
    with pytest.raises(StopIteration):
        send(pair[0], Frames(b": a\n\n"), "HTTP/1.0")
    head, _, body = pair[1].recv(65536).partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert body == b": a\n\n"


def test_who_reads_nothing_is_given_up_and_the_stream_is_over(pair: Any) -> None:
    frames = Frames(*[b"x" * 65536] * 1000)
    with pytest.raises(StopIteration):
        send(pair[0], frames)
    assert frames.closed


class Stopping:
    """gunicorn's answer while its worker stops."""

    must_close = True

    def start_response(self) -> None:
        """Never called: hal0 writes to the socket itself."""


def test_a_connection_ends_with_its_answer_once_gunicorn_stops(pair: Any) -> None:
    with pytest.raises(StopIteration):
        send(pair[0], Frames(b": a\n\n"), start_response=Stopping().start_response)
    assert b"Connection: close" in pair[1].recv(65536)
