"""Streams of events that hal0 makes itself: sent here, for gunicorn would wait for ever on one who reads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from flask import Flask, Response
from gunicorn.workers.base_async import ALREADY_HANDLED

from hal0app.api.client_socket import ClientSocket
from hal0app.api.relay import sent
from hal0app.api.relayed import LastEvent, Relayed, stopping
from hal0app.core import client_head
from hal0app.core.framing import LAST_CHUNK, chunk

EVENTS = "text/event-stream"


class OwnStream(Response):
    """`made` on its way to a client that is cut off once it takes nothing for `stall_s` seconds."""

    def __init__(self, made: Response, stall_s: float) -> None:
        super().__init__(made.response, made.status, made.headers, direct_passthrough=True)
        self._stall_s = stall_s

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Send it. StopIteration makes gunicorn close the connection."""
        if environ.get("gunicorn.socket") is None or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        modern = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        ends = not modern or client_head.closes(environ) or stopping(start_response)
        if ends:
            self.headers["Connection"] = "close"
        try:
            whole = self._send(ClientSocket(environ["gunicorn.socket"], modern, ends, self._stall_s))
        finally:
            self.close()
        if ends or not whole:
            raise StopIteration
        return ALREADY_HANDLED

    def _send(self, client: ClientSocket) -> bool:
        """Whether the client took all of it."""
        if client.modern:
            self.headers["Transfer-Encoding"] = "chunked"
        if not sent(client, client_head.write(self.status, self.headers)):
            return False
        for piece in cast(Iterable[bytes], self.response):
            if piece and not sent(client, chunk(piece) if client.modern else piece):
                return False
        return not client.modern or sent(client, LAST_CHUNK)


def init_app(app: Flask, stall_s: float) -> None:
    """Let every stream that hal0 makes go this way. To be called first: it has to see headers as they are sent."""

    def own(response: Response) -> Response:
        others = response.mimetype != EVENTS or isinstance(response, Relayed | LastEvent)
        return response if others else OwnStream(response, stall_s)

    app.after_request(own)
