"""Answers on their way to the client: over gunicorn's own socket where it is there, else as WSGI iterates them."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.utils import formatdate
from typing import Any, cast

from flask import Response
from gunicorn.workers.base_async import ALREADY_HANDLED

from hal0app.api.client_socket import ClientSocket
from hal0app.api.relay_pump import Pump
from hal0app.core import client_head, stream_error
from hal0app.core.downstream import Form, form, form_after_heartbeats
from hal0app.core.ending import Ending
from hal0app.core.framing import LAST_CHUNK, chunk
from hal0app.core.response_head import BODILESS
from hal0app.services.answer import Answer
from hal0app.services.ports import RawReply

log = logging.getLogger(__name__)

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that is no clean end
LINGER_S = 2.0
LINGER_BYTES = 1 << 20


class _Body:
    """The answer as WSGI iterates it; closing it, begun or not, gives everything back."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self._body = answer, iter(answer)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._body)

    def close(self) -> None:
        self._answer.close()


class Relayed(Response):
    """A committed answer."""

    def __init__(self, answer: Answer, client: ClientSocket) -> None:
        super().__init__(cast(Iterable[bytes], _Body(answer)), status=answer.status, direct_passthrough=True)
        self.headers.clear()
        self.headers.extend(answer.headers)
        self._answer, self._client = answer, client

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Relay it, and tell gunicorn that it is handled. StopIteration makes gunicorn close the connection."""
        if self._client.socket is None:
            if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in BODILESS:
                self._answer.finish(Ending.COMPLETE)  # WSGI does not iterate it
            return super().__call__(environ, start_response)
        started = time.monotonic()
        try:
            ending, stays = self._relay(environ)
        except Exception as problem:
            self._answer.close()
            log.exception("the relay of %s failed unexpectedly", environ["PATH_INFO"])
            raise StopIteration from problem  # gunicorn would write a head of its own into the answer
        except BaseException:
            self._answer.close()
            raise
        self._answer.finish(ending)
        _log(environ, self._answer, ending, time.monotonic() - started)
        if not stays:
            raise StopIteration
        return ALREADY_HANDLED

    def _relay(self, environ: dict[str, Any]) -> tuple[Ending, bool]:
        """Send all of it; how that ended, and whether the connection can be used again."""
        client, answer = self._client, self._answer
        closing = client_head.closes(environ) or client.uploading
        if client.begun and not 200 <= answer.status < 300:
            error = stream_error.of_upstream(answer.status, answer.head)
            told = last_event(client, stream_error.event(answer.endpoint, error))
            return (Ending.COMPLETE if told else Ending.CLIENT_GONE), told and not closing
        if answer.in_memory:
            return self._send_whole(environ, closing)
        reply = cast(RawReply, answer.reply)
        shape, lead = self._shape(environ, reply, closing)
        pump = Pump(answer, reply, client, shape)
        ending = pump.run(lead)
        if not pump.intact and (ending is Ending.CLIENT_STALLED or not shape.delimited):
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif pump.intact and client.uploading:
            _let_it_read(client.socket)
        return ending, pump.intact and shape.delimited and not closing

    def _shape(self, environ: dict[str, Any], reply: RawReply, closing: bool) -> tuple[Form, bytes]:
        """The form of the body, and what is sent before it."""
        client = self._client
        if client.begun:
            return form_after_heartbeats(reply.framing), client.take_unsent()
        modern = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        shape = form(reply.framing, chunks=modern)
        if shape.chunked:
            self.headers["Transfer-Encoding"] = "chunked"
        if self.status_code == 204:
            self.headers.pop("Content-Length", None)
        return shape, self._head(environ, closing or not shape.delimited)

    def _send_whole(self, environ: dict[str, Any], closing: bool) -> tuple[Ending, bool]:
        """Send a body that is in memory; how that ended, and whether the connection can be used again."""
        client, answer = self._client, self._answer
        answer.reply.to_tap(answer.tap)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.head
        answer.sent = len(body)
        if not _sent(client, self._head(environ, closing) + body):
            return Ending.CLIENT_GONE, False
        if client.uploading:
            _let_it_read(client.socket)
        return Ending.COMPLETE, not closing

    def _head(self, environ: dict[str, Any], closes: bool) -> bytes:
        """The head as it is sent; `closes`: the connection ends with this answer."""
        if closes:
            self.headers["Connection"] = "close"
        elif environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            self.headers["Connection"] = "keep-alive"
        self.headers["Date"] = formatdate(usegmt=True)
        return client_head.write(self.status, self.headers)


class LastEvent(Response):
    """An error for a client whose answer has begun with signs of life: one event, and no more."""

    def __init__(self, client: ClientSocket, event: bytes) -> None:
        super().__init__(event, mimetype="text/event-stream")
        self._client, self._event = client, event

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if not last_event(self._client, self._event) or client_head.closes(environ):
            raise StopIteration
        return ALREADY_HANDLED


def last_event(client: ClientSocket, event: bytes) -> bool:
    """End a begun answer with `event`; whether the client took it."""
    return _sent(client, client.take_unsent() + chunk(event) + LAST_CHUNK)


def _sent(client: ClientSocket, data: bytes) -> bool:
    """Whether the client took all of it."""
    if client.gone:
        return False
    client.socket.settimeout(client.stall_s)
    try:
        client.socket.sendall(data)
    except OSError:
        return False
    finally:
        client.socket.settimeout(None)
    return True


def _let_it_read(peer: socket.socket) -> None:
    """Let a client that still sends its upload read the answer: a close with bytes unread would take it away."""
    deadline, left = time.monotonic() + LINGER_S, LINGER_BYTES
    with suppress(OSError):
        peer.shutdown(socket.SHUT_WR)
        while left > 0 and (wait_s := deadline - time.monotonic()) > 0:
            peer.settimeout(wait_s)
            read = len(peer.recv(65536))
            if not read:
                break
            left -= read


def _log(environ: dict[str, Any], answer: Answer, ending: Ending, seconds: float) -> None:
    if log.isEnabledFor(logging.INFO):
        line = f"{environ.get('REMOTE_ADDR', '-')} {environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        log.info("%s %d %d bytes %.3f s %s", line, answer.status, answer.sent, seconds, ending)
