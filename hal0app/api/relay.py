"""Answers on their way to the client over its own socket."""

from __future__ import annotations

import logging
import time
from email.utils import formatdate
from functools import lru_cache
from typing import cast

from werkzeug.http import HTTP_STATUS_CODES

from hal0app.api.client_socket import ClientSocket
from hal0app.api.incoming import Incoming
from hal0app.api.relay_pump import Pump
from hal0app.api.unread import let_it_read, reset
from hal0app.core import client_head, stream_error
from hal0app.core.downstream import Form, form, form_after_heartbeats
from hal0app.core.ending import Ending
from hal0app.core.framing import LAST_CHUNK, chunk
from hal0app.core.headers import Header, Headers
from hal0app.services.answer import Answer
from hal0app.services.ports import RawReply

log = logging.getLogger(__name__)


class Relay:
    """A committed answer, with the headers it is to have: those that are its own, behind the `usual` ones."""

    def __init__(
        self,
        answer: Answer,
        headers: Headers,
        client: ClientSocket,
        request: Incoming,
        usual: tuple[Header, ...] = (),
    ) -> None:
        self._answer, self._headers, self._client, self._request = answer, headers, client, request
        self._usual = usual

    def run(self) -> bool:
        """Send all of it; whether the connection can be used again. Only what ends greenlets is raised."""
        started = time.monotonic()
        try:
            ending, stays = self._relay()
        except Exception:
            self._answer.close()
            log.exception("the relay of %s failed unexpectedly", self._request.path)
            return False
        except BaseException:
            self._answer.close()
            raise
        self._answer.finish(ending)
        self._log(ending, time.monotonic() - started)
        return stays

    def _relay(self) -> tuple[Ending, bool]:
        """Send it; how that ended, and whether the connection can be used again."""
        client, answer = self._client, self._answer
        closing = client.closes or client.uploading
        if client.begun and not 200 <= answer.status < 300:
            answer.reply.to_tap(answer.tap)
            error = stream_error.of_upstream(answer.status, answer.head)
            told = last_event(client, stream_error.event(answer.endpoint, error, answer.status))
            return (Ending.COMPLETE if told else Ending.CLIENT_GONE), told and not closing
        if answer.in_memory:
            return self._send_whole(closing)
        reply = cast(RawReply, answer.reply)
        shape, lead = self._shape(reply, closing)
        pump = Pump(answer, reply, client, shape)
        ending = pump.run(lead)
        if not pump.intact and (ending is Ending.CLIENT_STALLED or not shape.delimited):
            reset(client.socket)
        elif pump.intact and client.uploading:
            let_it_read(client.socket)
        return ending, pump.intact and shape.delimited and not closing

    def _shape(self, reply: RawReply, closing: bool) -> tuple[Form, bytes]:
        """The form of the body, and what is sent before it."""
        client = self._client
        if client.begun:
            return form_after_heartbeats(reply.framing), client.take_unsent()
        shape = form(reply.framing, chunks=client.modern)
        headers = self._headers
        if self._answer.status == 204:
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        if shape.chunked:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        return shape, head(self._answer.status, headers, client, closing or not shape.delimited, self._usual)

    def _send_whole(self, closing: bool) -> tuple[Ending, bool]:
        """Send a body that is in memory; how that ended, and whether the connection can be used again."""
        client, answer = self._client, self._answer
        answer.reply.to_tap(answer.tap)
        body = b"" if self._request.method == "HEAD" else answer.head
        answer.sent = len(body)
        if not sent(client, head(answer.status, self._headers, client, closing, self._usual) + body):
            return Ending.CLIENT_GONE, False
        if client.uploading:
            let_it_read(client.socket)
        return Ending.COMPLETE, not closing

    def _log(self, ending: Ending, seconds: float) -> None:
        if log.isEnabledFor(logging.INFO):
            request, answer = self._request, self._answer
            line = f"{request.remote_addr or '-'} {request.method} {request.path}"
            log.info("%s %d %d bytes %.3f s %s", line, answer.status, answer.sent, seconds, ending)


def head(status: int, headers: Headers, client: ClientSocket, closes: bool, usual: tuple[Header, ...] = ()) -> bytes:
    """The head of an answer as it is sent, `usual` headers first; `closes`: the connection ends with this answer."""
    own = [*headers, ("Date", _date(int(time.time())))]
    if closes:
        own.append(("Connection", "close"))
    elif not client.modern:
        own.append(("Connection", "keep-alive"))
    return client_head.write(_status(status), own, usual)


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


@lru_cache(maxsize=128)
def _status(number: int) -> str:
    return f"{number} {HTTP_STATUS_CODES.get(number, 'Unknown').upper()}"


def last_event(client: ClientSocket, event: bytes) -> bool:
    """End a begun answer with `event`; whether the client took it."""
    return sent(client, client.take_unsent() + chunk(event) + LAST_CHUNK)


def sent(client: ClientSocket, data: bytes) -> bool:
    """Send all of `data`; whether the client took it."""
    if client.gone:
        return False
    before = client.socket.gettimeout()
    client.socket.settimeout(client.stall_s)
    try:
        client.socket.sendall(data)
    except OSError:
        return False
    finally:
        client.socket.settimeout(before)
    return True
