"""`/v1`: one view over the table of endpoints, the model list, and the fall-through to lemond."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, jsonify, request

from hal0app import errors
from hal0app.api import inference, slot_ports
from hal0app.api.client_socket import ClientSocket
from hal0app.api.context import admin, hal0
from hal0app.api.recording import followed, under_way
from hal0app.api.relayed import Relayed, client_of
from hal0app.api.upload import upload
from hal0app.core.endpoints import BY_NAME, Access, Endpoint, access, instead, methods
from hal0app.core.model import Model
from hal0app.services.answer import Answer
from hal0app.services.ask import Ask
from hal0app.services.slot_view import SlotView

bp = Blueprint("v1", __name__)

PATH_SIGNS = "/:@!$&'()*+,;=~"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@bp.get("/v1/models", provide_automatic_options=False)
@bp.get("/api/v1/models", provide_automatic_options=False)
def models() -> Response:
    """Slots first (that of the port before all), then what lemond has downloaded."""
    first = _slot()
    views = sorted(hal0().slots.all(), key=lambda view: view.slot.name != first)
    rows = [_slot_row(view) for view in views if view.config is not None and view.config.enabled]
    rows += [_model_row(model) for model in hal0().catalogue.models()]
    return jsonify(object="list", data=rows)


@bp.get("/v1/models/<path:name>", provide_automatic_options=False)
@bp.get("/api/v1/models/<path:name>", provide_automatic_options=False)
def model(name: str) -> Response:
    """One slot by name or alias, or one model by id as lemond has it; as the list has it while lemond is silent."""
    _slot()
    views = {view.slot.name: view for view in hal0().slots.all() if view.config is not None}
    meant = hal0().settings.alias.get(name, name)
    view = views.get(name.removeprefix("hal0/")) or views.get(meant.removeprefix("hal0/"))
    if view is not None:
        return jsonify(_slot_row(view))
    _check_access(f"models/{meant}")
    if not hal0().observer.snapshot.seen.fresh and (known := hal0().catalogue.find(meant)) is not None:
        return jsonify(_model_row(known))
    return _forward(f"/v1/models/{quote(meant, safe=PATH_SIGNS)}")


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


@bp.route("/v1/<path:path>", methods=METHODS, provide_automatic_options=False)
@bp.route("/api/v1/<path:path>", methods=METHODS, provide_automatic_options=False)
def v1(path: str) -> Response:
    """An endpoint of the table, or whatever else lemond offers to everyone."""
    endpoint = BY_NAME.get(path)
    if endpoint is not None and request.method == "POST":
        return _serve(endpoint)
    if request.method == "OPTIONS" and methods(path):
        return Response(status=204, headers={"Allow": ", ".join(methods(path))})
    _check_access(path)
    _slot()
    return _forward(quote(request.path, safe=PATH_SIGNS).removeprefix("/api"))


def _check_access(path: str) -> None:
    """Raise unless the request's method may be sent to `path` (after /v1/) of lemond: by everybody, or with the key.

    That it comes from this machine is not enough: programs that control Lemonade do so without a word of hal0's.
    """
    allowed = access(path, request.method)
    if allowed is Access.ADMIN and not admin().knows_key(request):
        message = (
            f"/v1/{path} changes Lemonade behind hal0's back, so it is passed on only with hal0's admin key "
            f"(Authorization: Bearer KEY). Use {instead(path)}"
        )
        raise errors.error("auth.admin_required", message)
    if allowed is Access.NOBODY:
        code = "request.method_not_allowed" if methods(path) else "request.not_found"
        message = f"{request.method} /v1/{path} is not something hal0 or Lemonade offers"
        raise errors.error(code, message, allow=", ".join(methods(path)))


def _serve(endpoint: Endpoint) -> Response:
    line = _line()
    return _respond(inference.serve(hal0(), endpoint, request, line, under_way()), line)


def _forward(path: str) -> Response:
    query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
    sized, line = request.content_length, _line()
    body = _upload(line) if sized or request.headers.get("Transfer-Encoding") else None
    ask = Ask(request.method, path + query, list(request.headers.items()), body, length=sized)
    return _respond(followed(hal0().dispatch.forward(ask, line), under_way()), line)


def _upload(line: ClientSocket) -> Iterator[bytes]:
    return upload(line, request.stream, hal0().settings.dispatch.upload_idle_s)


def _line() -> ClientSocket:
    """The connection to the client of this request."""
    return client_of(request, hal0().settings.dispatch.stall_s, g.request_id, hal0().company)


def _slot() -> str | None:
    """The slot whose port this request came in on."""
    return slot_ports.slot(hal0(), request.environ.get("gunicorn.socket"))


def _respond(answer: Answer, line: ClientSocket) -> Response:
    try:
        return Relayed(answer, line, request)
    except BaseException:
        answer.close()
        raise
