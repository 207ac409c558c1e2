"""api/client_socket: signs of life to a client that waits, also to one that does not read them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest

from hal0app.api.client_socket import ClientSocket
from hal0app.api.security import HEADERS
from hal0app.core.framing import Chunked

TEXT = "hal0 loading primary 12s"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def body_of(sent: bytes) -> bytes:
    return sent.partition(b"\r\n\r\n")[2]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def client(near: socket.socket | None, modern: bool = True, stall_s: float = 60) -> ClientSocket:
    return ClientSocket(near, modern, stall_s=stall_s)


def test_the_first_sign_of_life_begins_the_answer_and_each_is_a_comment(pair: Any) -> None:
    one = client(pair[0])
    assert not one.begun
    one.heartbeat(TEXT)
    one.heartbeat(TEXT)
    assert one.begun
    sent = pair[1].recv(65536)
    assert sent.startswith(STREAM_HEAD)
    body, framing = body_of(sent), Chunked()
    assert b"".join(body[start:end] for start, end in framing.feed(body)) == f": {TEXT}\n\n".encode() * 2
    assert framing.boundary


@pytest.mark.parametrize("closes", [True, False])
def test_its_head_is_that_of_any_answer_and_tells_whether_the_connection_ends(pair: Any, closes: bool) -> None:
    one = ClientSocket(pair[0], closes=closes, id_="req-1")
    one.heartbeat(TEXT)
    head = pair[1].recv(65536).partition(b"\r\n\r\n")[0].decode()
    told = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert (told["X-Request-Id"], told["X-Accel-Buffering"], told.get("Connection")) == (
        *("req-1", "no"),
        "close" if closes else None,
    )
    assert {"Date", "Transfer-Encoding", *HEADERS} <= set(told)


@pytest.mark.parametrize(("has_socket", "modern"), [(False, True), (True, False)])
def test_who_cannot_be_told_is_not_told(pair: Any, has_socket: bool, modern: bool) -> None:
    one = client(pair[0] if has_socket else None, modern)
    one.heartbeat(TEXT)
    assert not one.begun


def fill(one: ClientSocket) -> None:
    for _ in range(100_000):
        one.heartbeat("x" * 500)
        if one._unsent:
            return
    raise AssertionError("it never filled up")


def test_a_client_that_does_not_read_is_sent_no_more_and_misses_no_byte(pair: Any) -> None:
    near, far = pair
    one = client(near)
    fill(one)
    for _ in range(100):
        one.heartbeat("x" * 500)
    assert len(one._unsent) < 1000
    far.settimeout(0.2)
    read = b""
    try:
        while piece := far.recv(1 << 20):
            read += piece
    except TimeoutError:
        pass
    read += one.take_unsent()
    framing = Chunked()
    framing.feed(body_of(read))
    assert framing.boundary
    assert one.take_unsent() == b""


def test_a_client_that_takes_nothing_for_too_long_is_gone_and_that_is_told_once(pair: Any) -> None:
    one = client(pair[0], stall_s=-1)
    told: list[int] = []
    forget = one.on_gone(lambda: told.append(1))
    fill(one)
    for _ in range(3):
        one.heartbeat(TEXT)
        gevent.sleep(0)
    assert one.gone
    assert told == [1]
    forget()


def test_a_client_that_has_left_is_noticed_by_a_sign_of_life(pair: Any) -> None:
    one = client(pair[0])
    pair[1].close()
    one.heartbeat(TEXT)
    assert one.gone


def test_who_wants_to_know_later_is_told_at_once(pair: Any) -> None:
    one = client(pair[0])
    pair[1].close()
    one.heartbeat(TEXT)
    told: list[int] = []
    one.on_gone(lambda: told.append(1))()
    assert told == [1]


def test_a_client_that_leaves_in_silence_is_noticed(pair: Any) -> None:
    one = client(pair[0])
    gone = gevent.event.Event()
    one.on_gone(gone.set)
    pair[1].close()
    assert gone.wait(20)


def test_what_was_taken_back_is_not_called(pair: Any) -> None:
    one = client(pair[0])
    told: list[int] = []
    one.on_gone(lambda: told.append(1))()
    pair[1].close()
    gevent.sleep(0.01)
    assert told == []


def test_signs_of_life_come_by_themselves_until_they_are_ended(pair: Any) -> None:
    one = client(pair[0])
    quiet = one.beating(lambda: TEXT, 0.0, 0.001)
    while not (told := sent_so_far(pair[1])).count(TEXT.encode()) > 1:
        gevent.sleep(0.001)
    assert told.startswith(STREAM_HEAD)
    quiet()
    pair[1].recv(65536)
    gevent.sleep(0.02)
    assert sent_so_far(pair[1]) == b""
    client(None).beating(lambda: TEXT, 0.0, 0.001)()


def sent_so_far(far: socket.socket) -> bytes:
    far.setblocking(False)
    try:
        return far.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


def test_it_knows_how_long_it_has_been_silent(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("hal0app.api.client_socket.time.monotonic", lambda: now)
    one = client(pair[0])
    now = 104.0
    assert one.silent_s == 4
    one.heartbeat(TEXT)
    now = 105.0
    assert one.silent_s == 1
