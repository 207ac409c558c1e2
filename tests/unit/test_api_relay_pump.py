"""api/relay_pump without a server around it: how a body ends when hal0 is about to, and what it may leave unasked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from hypothesis import given
from hypothesis import strategies as st

from hal0app.api.client_socket import ClientSocket
from hal0app.api.relay_pump import Pump
from hal0app.core.downstream import Form, form
from hal0app.core.ending import Ending
from hal0app.core.framing import Chunked, Framing, Length, UntilClose, chunk
from hal0app.core.tap import Tap
from hal0app.services.answer import Answer, Trip
from hal0app.services.company import Company
from tests.unit.fakes import FakeReply

EVENT = b'data: {"choices": []}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Under:
    """A relay under way: what the upstream sends with `come` is relayed until `ending`."""

    def __init__(self, framing: Framing, kind: str, company: Company) -> None:
        self.upstream, near = socket.socketpair()
        self.far, client = socket.socketpair()
        reply: Any = FakeReply(200, kind)
        reply.connection, reply.framing, reply.aborted, reply.passed = near, framing, False, lambda: b""
        self.answer = Answer(reply, b"", iter(()), Trip())
        self.answer.endpoint = "chat/completions"
        self.form: Form = form(framing, chunks=True)
        self.pump = Pump(self.answer, reply, ClientSocket(client, company=company), self.form)
        reply.rewind = lambda: b""
        self._greenlet = gevent.spawn(self.pump.run, HEAD)
        self._held = (near, client)
        self.read = b""
        self.sees(HEAD)

    def come(self, piece: bytes) -> None:
        self.upstream.sendall(piece)

    def sees(self, text: bytes) -> None:
        self.far.settimeout(20)
        while text not in self.read:
            piece = self.far.recv(65536)
            assert piece, self.read
            self.read += piece

    def ending(self) -> Ending:
        ended: Ending = self._greenlet.get(timeout=20)
        return ended

    def close(self) -> None:
        self._greenlet.kill()
        for one in (self.upstream, self.far, *self._held):
            one.close()


@pytest.fixture
def company() -> Company:
    return Company()


@pytest.fixture
def begun(company: Company, request: pytest.FixtureRequest) -> Iterator[Under]:
    framing, kind = request.param
    under = Under(framing(), kind, company)
    yield under
    under.close()


STREAMS = [(Chunked, "text/event-stream"), (UntilClose, "text/event-stream")]


@pytest.mark.parametrize("begun", STREAMS, indirect=True, ids=["chunked", "until-close"])
def test_a_stream_ends_with_an_error_between_two_events(begun: Under, company: Company) -> None:
    chunked = isinstance(begun.pump._reply.framing, Chunked)
    whole = chunk(EVENT) if chunked else EVENT
    begun.come(whole + whole[:9])
    begun.sees(EVENT)
    company.dismiss()
    gevent.sleep(0)
    assert not begun._greenlet.ready()
    begun.come(whole[9:])
    assert begun.ending() is Ending.STOPPED
    begun.sees(b"0\r\n\r\n")
    assert begun.read.count(b"[]}\n\n") == 2
    assert begun.read.count(b"system.stopping") == 1
    assert begun.pump.intact


@pytest.mark.parametrize("begun", STREAMS[:1], indirect=True, ids=["chunked"])
def test_a_stream_that_waits_ends_at_once(begun: Under, company: Company) -> None:
    begun.come(chunk(EVENT))
    begun.sees(EVENT)
    company.dismiss()
    assert begun.ending() is Ending.STOPPED
    begun.sees(b"0\r\n\r\n")


@pytest.mark.parametrize("begun", [(lambda: Length(1000), "application/json")], indirect=True, ids=["json"])
def test_a_body_in_which_nothing_can_be_told_is_cut(begun: Under, company: Company) -> None:
    begun.come(b'{"a"')
    begun.sees(b'{"a"')
    company.dismiss()
    assert begun.ending() is Ending.STOPPED
    assert not begun.pump.intact
    assert begun.read == HEAD + b'{"a"'


@pytest.mark.parametrize("begun", STREAMS[:1], indirect=True, ids=["chunked"])
def test_who_is_served_no_more_is_in_no_company(begun: Under, company: Company) -> None:
    assert company._guests
    begun.come(chunk(EVENT) + b"0\r\n\r\n")
    assert begun.ending() is Ending.COMPLETE
    assert not company._guests


def test_who_comes_after_the_end_is_told_at_once(company: Company) -> None:
    company.dismiss()
    near, far = socket.socketpair()
    with near, far:
        told: list[bool] = []
        client = ClientSocket(near, company=company)
        client.on_gone(lambda: told.append(client.dismissed))
        assert told == [True]
        assert not client.gone


# -- tokens that repeat the one before pass without the framing


def token(text: bytes) -> bytes:
    return chunk(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text)


A = token(b"a")
TOKENS = [A, token(b"b"), token(b'\\"'), token(b""), token(b"\n"), token(b"x" * 5000), chunk(b": c\n\n"), A + A]
ENDS = [b"0\r\n\r\n", b"0\r\nX-A: 1\r\n\r\n", b"0\r\n", b"zz\r\n", A[:9], A[:-1], A[:-2], b"0" + A, b"1" + A]


def spoilt(place: int, sign: int) -> bytes:
    return A[: place % len(A)] + bytes([sign]) + A[place % len(A) + 1 :]


SPOILT = st.builds(spoilt, st.integers(-5, 3) | st.integers(0, len(A)), st.sampled_from(list(b'\r\n0;a"')))
PIECES = st.lists(st.sampled_from(TOKENS) | SPOILT, max_size=8)
SENDS = st.lists(st.sampled_from([None, 0, 1, 30]), max_size=20)


@given(PIECES, st.sampled_from([b"", *ENDS]), SENDS, st.integers(0, 12))
def test_what_is_spared_the_framing_changes_nothing(pieces: Any, end: bytes, sends: Any, dismissed: int) -> None:
    """Neither the bytes that the client gets, nor how it ends and what is known of it: whatever comes, however the
    client takes it and whenever hal0 is about to end."""
    came = [A, A, *pieces, *filter(None, [end])]
    assert relayed(came, sends, dismissed, spared=True) == relayed(came, sends, dismissed, spared=False)


def relayed(came: list[bytes], sends: list[int | None], dismissed: int, spared: bool) -> tuple[Any, ...]:
    (near, upstream), (client, far) = socket.socketpair(), socket.socketpair()
    reply: Any = FakeReply(200, "text/event-stream")
    reply.connection, reply.framing, reply.aborted, reply.passed = near, Chunked(), False, lambda: b""
    answer, tap = Answer(reply, b"", iter(()), Trip()), Tap(lambda: 1.0, streams=True)
    answer.tap = tap.see
    if spared:
        answer.repeats = tap.repeats
    line = ClientSocket(client)
    pump = Pump(answer, reply, line, form(reply.framing, chunks=True))
    pieces, taken, got = iter(came), iter(sends), bytearray()
    left = dismissed

    def recv(size: int) -> bytes:
        nonlocal left
        left -= 1
        if left == 0:
            line.dismissed = True
            pump._left()
            raise BlockingIOError
        return next(pieces, b"")

    def send(data: bytes | memoryview) -> int:
        most = next(taken, None)
        if most == 0:
            raise BlockingIOError
        got.extend(data[:most])
        return len(data) if most is None else min(most, len(data))

    pump._recv, pump._send_down = recv, send
    upstream.sendall(b"there is always something to read")
    try:
        ending = gevent.spawn(pump.run, HEAD).get(timeout=20)
    finally:
        for one in (near, upstream, client, far):
            one.close()
    return ending, pump.intact, bytes(got), answer.sent, tap.figures(), reply.framing.done
