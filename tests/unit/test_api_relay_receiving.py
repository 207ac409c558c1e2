"""api/relay_receiving: what comes is waited for, for as long as the connection says."""

from __future__ import annotations

import socket as unpatched
import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import socket

from hal0app.api.relay_receiving import receive

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.mark.parametrize("limit_s", [None, 20.0])
def test_what_comes_late_is_read_when_it_comes(pair: Pair, limit_s: float | None) -> None:
    near, far = pair
    near.settimeout(limit_s)
    gevent.spawn_later(0.01, far.sendall, b"abc")
    assert receive(near, 2) == b"ab"
    assert receive(near, 2) == b"c"
    far.shutdown(unpatched.SHUT_WR)
    assert receive(near, 2) == b""


def test_a_silence_beyond_the_limit_is_told_and_the_connection_goes_on(pair: Pair) -> None:
    near, far = pair
    near.settimeout(0.01)
    with pytest.raises(TimeoutError):
        receive(near, 2)
    far.sendall(b"ab")
    assert receive(near, 2) == b"ab"


def test_who_waits_is_woken_when_the_connection_is_shut_down(pair: Pair) -> None:
    near, _ = pair
    near.settimeout(20.0)
    gevent.spawn_later(0.01, near.shutdown, unpatched.SHUT_RDWR)
    began = time.monotonic()
    with pytest.raises(OSError, match="closed"):
        receive(near, 2)
    assert time.monotonic() - began < 15


def test_a_socket_of_the_standard_library_is_read_as_it_is() -> None:
    near, far = unpatched.socketpair()
    with near, far:
        far.sendall(b"ab")
        assert receive(near, 2) == b"ab"
