"""Serving a request to an endpoint of the table, by whatever way it came in."""

from __future__ import annotations

from typing import Any

from hal0app import errors
from hal0app.api import incoming, recording, slot_ports
from hal0app.api.body import check_plain, form, is_form, json_fields
from hal0app.api.client_socket import ClientSocket
from hal0app.api.incoming import Incoming
from hal0app.api.upload import upload
from hal0app.core.endpoints import Endpoint
from hal0app.core.json_body import JsonBody
from hal0app.services.answer import Answer
from hal0app.services.ask import Ask, unheard
from hal0app.services.hal0 import Hal0
from hal0app.services.request import Request
from hal0app.services.room import Hold
from hal0app.services.upload import Upload

NEEDED = ("model", "stream")  # what hal0 has to know of a JSON object


def serve(hal0: Hal0, endpoint: Endpoint, request: Incoming, line: ClientSocket, record: Request | None) -> Answer:
    """A committed answer, which ends `record` when it is closed. Raises Hal0Error."""
    with hal0.room.hold() as hold:
        return _serve(hal0, endpoint, request, line, record, hold)


def _serve(
    hal0: Hal0, endpoint: Endpoint, request: Incoming, line: ClientSocket, record: Request | None, hold: Hold
) -> Answer:
    port_slot = slot_ports.slot(hal0, line.socket)
    body, payload = _read(hal0, endpoint, request, line, hold)
    try:
        if isinstance(body, JsonBody):
            _check(endpoint, body, payload)
        ask = Ask(
            "POST",
            endpoint.path,
            incoming.onwards(request),
            body,
            payload,
            port_slot=port_slot,
            client=incoming.client(request),
            priority=incoming.priority(request),
            agent=incoming.agent(request) or "",
            id=line.id,
            told=record.goes if record is not None else unheard,
        )
        return recording.followed(hal0.dispatch.serve(endpoint, ask, line), record)
    except BaseException:
        recording.asked_for(hal0, record, payload.get("model"), port_slot)
        raise
    finally:
        if isinstance(body, Upload):
            body.forget()


def _read(
    hal0: Hal0, endpoint: Endpoint, request: Incoming, line: ClientSocket, hold: Hold
) -> tuple[JsonBody | Upload, dict[str, Any]]:
    """The body, and what hal0 has to know of it."""
    limit, idle_s = hal0.settings.server.max_body_mb << 20, hal0.settings.dispatch.upload_idle_s
    if endpoint.form or is_form(request):
        check_plain(request)
        needed = next(iter(endpoint.required), "") if endpoint.form else ""
        sent = form(request, upload(line, request.stream, idle_s), limit, hold, hal0.kept, needed)
        return sent, {"model": sent.model}
    body = json_fields(request, limit, line.socket, idle_s, hold)
    return body, body.scalars(NEEDED)


def _check(endpoint: Endpoint, body: JsonBody, payload: dict[str, Any]) -> None:
    if not isinstance(payload.get("model"), str):
        _check_name(body)
    for name in endpoint.required:
        if body.lacks(name):
            raise errors.error("request.missing_field", f"'{name}' is required and must not be empty", param=name)


def _check_name(body: JsonBody) -> None:
    if not body.is_name("model"):
        raise errors.error("request.invalid_field", "'model' must be a string", param="model")
    if body.is_long("model"):
        raise errors.error("request.invalid_field", "'model' is too long to be a name", param="model")
