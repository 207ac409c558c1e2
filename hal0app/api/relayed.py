"""Committed answers as Flask's responses: over the client's own socket where there is one, else iterated by WSGI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from flask import Request, Response
from gunicorn.workers.base_async import ALREADY_HANDLED

from hal0app.api.client_socket import ClientSocket
from hal0app.api.relay import Relay, last_event
from hal0app.core import client_head
from hal0app.core.ending import Ending
from hal0app.core.response_head import BODILESS
from hal0app.services.answer import Answer
from hal0app.services.company import Company

IN_ENVIRON = "hal0.client"


def client_of(request: Request, stall_s: float, id_: str, company: Company) -> ClientSocket:
    """The connection that a request came in on."""
    environ = request.environ
    modern = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    peer, closes = environ.get("gunicorn.socket"), client_head.closes(environ)
    made = ClientSocket(peer, modern, closes, stall_s, id_, company=company)
    environ[IN_ENVIRON] = made
    return made


def begun(environ: dict[str, Any]) -> ClientSocket | None:
    """The client of this request if its answer has begun with signs of life."""
    found: ClientSocket | None = environ.get(IN_ENVIRON)
    return found if found is not None and found.begun else None


def stopping(start_response: Any) -> bool:
    """Whether gunicorn, which is about to stop, ends the connection with this answer."""
    return getattr(getattr(start_response, "__self__", None), "must_close", False) is True


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

    def __init__(self, answer: Answer, client: ClientSocket, request: Request) -> None:
        super().__init__(cast(Iterable[bytes], _Body(answer)), status=answer.status, direct_passthrough=True)
        self.headers.clear()
        self.headers.extend(answer.headers)
        self._answer, self._client, self._request = answer, client, request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Relay it, and tell gunicorn that it is handled. StopIteration makes gunicorn close the connection."""
        if self._client.socket is None:
            if environ["REQUEST_METHOD"] == "HEAD" or self.status_code in BODILESS:
                self._answer.finish(Ending.COMPLETE)  # WSGI does not iterate it
            return super().__call__(environ, start_response)
        self._client.closes |= stopping(start_response)
        if not Relay(self._answer, list(self.headers), self._client, self._request).run():
            raise StopIteration
        return ALREADY_HANDLED


class LastEvent(Response):
    """An error for a client whose answer has begun with signs of life: one event, and no more."""

    def __init__(self, client: ClientSocket, event: bytes) -> None:
        super().__init__(event, mimetype="text/event-stream")
        self._client, self._event = client, event

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if not last_event(self._client, self._event) or self._client.closes or stopping(start_response):
            raise StopIteration
        return ALREADY_HANDLED
