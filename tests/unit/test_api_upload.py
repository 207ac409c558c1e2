"""api/upload: the pieces of a body as a client sends them, and what tells that it pauses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import takewhile

import pytest
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader

from hal0app.api import upload


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    monkeypatch.setattr(upload, "LOOK_S", 0.01)
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_a_pause_shows_as_empty_pieces_and_loses_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    pieces = upload._as_they_come(near, Body(LengthReader(SocketUnreader(near), 10)), 60)
    assert next(pieces) == b""
    far.sendall(b"12345")
    assert next(filter(None, pieces)) == b"12345"
    assert next(pieces) == b""
    far.sendall(b"67890more")
    assert b"".join(pieces) == b"67890"
    assert near.gettimeout() == 60


def test_a_pause_that_lasts_too_long_is_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    pieces = upload._as_they_come(near, Body(LengthReader(SocketUnreader(near), 10)), 0.05)
    with pytest.raises(TimeoutError):
        list(takewhile(lambda piece: piece == b"", pieces))
