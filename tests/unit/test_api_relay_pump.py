"""api/relay_pump: how a body ends when hal0 is about to, without a server around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from hal0app.api.client_socket import ClientSocket
from hal0app.api.relay_pump import Pump
from hal0app.core.downstream import Form, form
from hal0app.core.ending import Ending
from hal0app.core.framing import Chunked, Framing, Length, UntilClose, chunk
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
