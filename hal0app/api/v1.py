"""`/v1`: one view over the table of endpoints, the model list, and the fall-through to lemond."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request

from hal0app import errors
from hal0app.api.body import bounded, form_field, json_object
from hal0app.api.client_socket import ClientSocket
from hal0app.api.context import client, hal0, priority
from hal0app.api.recording import asks_for, follow
from hal0app.api.relay import Relayed
from hal0app.api.upload import upload
from hal0app.core.endpoints import BY_NAME, Access, Endpoint, access
from hal0app.core.model import Model
from hal0app.core.npu import is_shadow
from hal0app.core.npu_route import TRANSCRIPTIONS, claims
from hal0app.core.slot_config import SlotConfig
from hal0app.services.answer import Answer
from hal0app.services.dispatch import Ask
from hal0app.services.slots import SlotView

bp = Blueprint("v1", __name__)

PATH_SIGNS = "/:@!$&'()*+,;=~"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@bp.get("/v1/models")
@bp.get("/api/v1/models")
def models() -> Response:
    """Slots first, then what lemond has downloaded."""
    rows = [_slot_row(view) for view in hal0().slots.all() if view.config is not None and view.config.enabled]
    rows += [_model_row(model) for model in hal0().catalogue.models()]
    return jsonify(object="list", data=rows)


@bp.get("/v1/models/<path:name>")
@bp.get("/api/v1/models/<path:name>")
def model(name: str) -> Response:
    """One slot by name, or one model by id as lemond has it."""
    view = next((one for one in hal0().slots.all() if one.slot.name == name.removeprefix("hal0/")), None)
    if view is not None and view.config is not None:
        return jsonify(_slot_row(view))
    return v1(f"models/{name}")


def _slot_row(view: SlotView) -> dict[str, Any]:
    assert view.config is not None
    facts = {"slot": view.slot.name, "model": view.config.model, "state": view.state, "type": view.config.type}
    return {"id": view.slot.name, "object": "model", "created": 0, "owned_by": "hal0", "hal0": facts}


def _model_row(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": "lemonade",
        "labels": list(model.labels),
        "recipe": model.recipe,
    }


@bp.route("/v1/<path:path>", methods=METHODS)
@bp.route("/api/v1/<path:path>", methods=METHODS)
def v1(path: str) -> Response:
    """An endpoint of the table, or whatever else lemond offers to everyone."""
    endpoint = BY_NAME.get(path)
    if endpoint is not None and request.method == "POST":
        return _serve(endpoint)
    if path == TRANSCRIPTIONS.path and request.method == "POST" and any(map(is_shadow, _configs())):
        return _transcribe()
    allowed = access(path, request.method)
    if allowed is Access.ADMIN:
        message = f"/v1/{path} changes Lemonade, and hal0 has no admin keys yet; use hal0's own API (/api) instead"
        raise errors.error("auth.admin_required", message)
    if allowed is Access.NOBODY:
        code = "request.method_not_allowed" if endpoint else "request.not_found"
        raise errors.error(code, f"{request.method} /v1/{path} is not something hal0 or Lemonade offers")
    return _forward()


def _serve(endpoint: Endpoint) -> Response:
    raw, payload = json_object(request, hal0().settings.server.max_body_mb << 20)
    asks_for(payload.get("model"))
    _complete(endpoint, payload)
    headers, line = list(request.headers.items()), _line()
    ask = Ask("POST", endpoint.path, headers, raw, payload, client=client(), priority=priority())
    return _respond(hal0().dispatch.serve(endpoint, ask, line), line)


def _configs() -> list[SlotConfig]:
    return hal0().observer.snapshot.configs


def _transcribe() -> Response:
    """An upload whose form says which slot is meant: one of the NPU's, or whatever lemond makes of it."""
    raw = bounded(request, hal0().settings.server.max_body_mb << 20)
    name = form_field(request, raw, "model")
    asks_for(name)
    headers, line = list(request.headers.items()), _line()
    if not claims(name, _configs()):
        ask = Ask("POST", f"/v1/{TRANSCRIPTIONS.path}", headers, raw, length=len(raw))
        return _respond(hal0().dispatch.forward(ask, line), line)
    ask = Ask(
        "POST",
        TRANSCRIPTIONS.path,
        headers,
        raw,
        {"model": name},
        verbatim=True,
        client=client(),
        priority=priority(),
    )
    return _respond(hal0().dispatch.serve(TRANSCRIPTIONS, ask, line), line)


def _complete(endpoint: Endpoint, payload: dict[str, Any]) -> None:
    if not _is_name(payload.get("model") or ""):
        raise errors.error("request.invalid_field", "'model' must be a string", param="model")
    for name in endpoint.required:
        if payload.get(name) in (None, "", []):
            raise errors.error("request.missing_field", f"'{name}' is required and must not be empty", param=name)


def _is_name(value: object) -> bool:
    """Whether it is text that can be sent: JSON may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _forward() -> Response:
    query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
    path = quote(request.path, safe=PATH_SIGNS) + query
    sized, line = request.content_length, _line()
    idle_s = hal0().settings.dispatch.upload_idle_s
    has_body = sized or request.headers.get("Transfer-Encoding")
    body = upload(line, request.stream, idle_s) if has_body else None
    ask = Ask(request.method, path.removeprefix("/api"), list(request.headers.items()), body, length=sized)
    return _respond(hal0().dispatch.forward(ask, line), line)


def _line() -> ClientSocket:
    """The connection to the client of this request."""
    return ClientSocket(request.environ, hal0().settings.dispatch.stall_s)


def _respond(answer: Answer, line: ClientSocket) -> Response:
    try:
        follow(answer)
        return Relayed(answer, line)
    except BaseException:
        answer.close()
        raise
