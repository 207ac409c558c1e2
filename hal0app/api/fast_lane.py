"""The way of a plain request for inference past WSGI and Flask: the same decisions, by the same code, over less.

Flask's way (`v1`, and the hooks around it) is the other one; what a client sees is the same on both.
"""

from __future__ import annotations

from typing import Any

from gunicorn.config import Config

from hal0app.api import inference, recording, security, unread
from hal0app.api.client_socket import ClientSocket
from hal0app.api.error_answer import error_answer, error_event
from hal0app.api.faults import unexpected
from hal0app.api.plain_request import PlainParser, PlainRequest
from hal0app.api.relay import Relay, head, last_event, sent
from hal0app.errors import Hal0Error
from hal0app.services.hal0 import Hal0
from hal0app.services.request import Request


class FastLane:
    """Serves plain requests."""

    def __init__(self, hal0: Hal0, rules: security.Rules) -> None:
        self._hal0, self._rules, self.company = hal0, rules, hal0.company

    @staticmethod
    def parser(config: Config, peer: Any, address: tuple[Any, ...]) -> PlainParser:
        """The requests of a connection, PlainRequest where they are plain."""
        return PlainParser(config, peer, address)

    def serve(self, request: PlainRequest, peer: Any, readable: Any, stopping: bool) -> bool:
        """Answer it; whether the connection can be used again. `stopping`: it is not to be.

        `readable` is a watcher of the hub's for what comes from `peer`, lent for the request.
        """
        id_ = recording.id_of(request)
        closes = stopping or request.should_close()
        client = ClientSocket(peer, True, closes, self._hal0.settings.dispatch.stall_s, id_, readable, self.company)
        record = recording.begin(self._hal0, request, id_)
        try:
            return self._served(request, client, record)
        finally:
            recording.abandon(record)

    def _served(self, request: PlainRequest, client: ClientSocket, record: Request | None) -> bool:
        try:
            self._check(request)
            answer = inference.serve(self._hal0, request.endpoint, request, client, record)
        except Hal0Error as error:
            return self._refused(error, request, client, record)
        except Exception as problem:  # noqa: BLE001 - it is logged, and told to the client
            return self._refused(unexpected(request.method, request.path, problem), request, client, record)
        own = [*answer.length, (recording.ID, client.id)]
        return Relay(answer, own, client, request, security.protected(answer.usual)).run()

    def _check(self, request: PlainRequest) -> None:
        """Raise what the rules raise: for inference they go by the head and the connection alone."""
        if "allowed" not in request.known:
            self._rules.check(request)
            request.known["allowed"] = True

    def _refused(self, error: Hal0Error, request: PlainRequest, client: ClientSocket, record: Request | None) -> bool:
        recording.refuse(record, error.status, error.code)
        client.closes |= unread.ends_connection(request.body)
        if client.begun:
            return last_event(client, error_event(error, request.path)) and not client.closes
        told = error_answer(error, request.path)
        own = [*told.headers, *recording.explained(record), (recording.ID, client.id)]
        line = head(told.status, own, client, client.closes, security.protected(()))
        return sent(client, line + told.body) and not client.closes
