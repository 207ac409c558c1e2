"""`/api/slots`: list, define, change, delete, and the acts on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from hal0app import errors
from hal0app.api.body import json_object
from hal0app.api.context import agent, asked, hal0
from hal0app.services.jobs import Job
from hal0app.services.slot_view import SlotView

bp = Blueprint("slots", __name__)

BODY_LIMIT = 1 << 20
WAIT_S = 900.0


def _json(view: SlotView, status: int = 200) -> Response:
    response = jsonify(view.as_json())
    response.status_code = status
    response.headers["ETag"] = f'"{hal0().slots.etag(view.slot.name)}"'
    return response


def _definition() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise errors.error("request.unsupported_media_type", "send the definition as application/json")
    return json_object(request, BODY_LIMIT)[1]


@bp.get("/api/slots")
def slots() -> Response:
    """Every slot."""
    return jsonify([view.as_json() for view in hal0().slots.all()])


@bp.post("/api/slots")
def create() -> Response:
    """A new slot: 201, or 409 when the name is taken."""
    return _json(hal0().slots.create(_definition(), agent()), 201)


@bp.get("/api/slots/<name>")
def show(name: str) -> Response:
    """One slot, with its ETag."""
    return _json(hal0().slots.one(name))


@bp.patch("/api/slots/<name>")
def change(name: str) -> Response:
    """Lay the body over the definition; null takes a key out."""
    return _json(hal0().slots.change(name, _definition(), request.headers.get("If-Match"), agent()))


@bp.put("/api/slots/<name>")
def put(name: str) -> Response:
    """Make the body the slot's whole definition."""
    return _json(hal0().slots.replace(name, _definition(), request.headers.get("If-Match"), agent()))


@bp.delete("/api/slots/<name>")
def delete(name: str) -> Response:
    """Delete a slot that is not hal0's own."""
    hal0().slots.delete(name, request.headers.get("If-Match"), agent())
    return Response(status=204)


def _load(name: str, body: dict[str, Any]) -> Job:
    return hal0().slots.load(name, agent() or "you")


def _unload(name: str, body: dict[str, Any]) -> Job:
    return hal0().slots.unload(name, agent() or "you", force=asked("force"))


def _swap(name: str, body: dict[str, Any]) -> Job:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise errors.error("request.missing_field", "'model' says what to swap to", param="model")
    return hal0().slots.swap(name, model, agent() or "you")


def _restart(name: str, body: dict[str, Any]) -> Job:
    return hal0().slots.restart(name, agent() or "you")


ACTS: dict[str, Callable[[str, dict[str, Any]], Job]] = {
    "load": _load,
    "unload": _unload,
    "restart": _restart,
    "swap": _swap,
}


@bp.get("/api/slots/<name>/preview")
def preview(name: str) -> Response:
    """What a load, or with `?model=` a swap, would do: who leaves, memory, what speaks against it."""
    return jsonify(hal0().slots.preview(name, request.args.get("model") or None))


@bp.post("/api/slots/<name>/<any(pin, unpin):act>")
def pin(name: str, act: str) -> Response:
    """Protect the slot's model from eviction, or stop protecting it: a change of the definition."""
    return _json(hal0().slots.change(name, {"pinned": act == "pin"}, None, agent()))


@bp.post("/api/slots/<name>/clear")
def clear(name: str) -> Response:
    """Forget the slot's failures, so that the next request tries again."""
    return _json(hal0().slots.clear(name, agent() or "you"))


@bp.post("/api/slots/<name>/cancel")
def cancel(name: str) -> Response:
    """End the slot's load that waits for another one."""
    hal0().slots.cancel(name, agent() or "you")
    return _json(hal0().slots.one(name))


@bp.post("/api/slots/<name>/<any(load, unload, restart, swap):act>")
def act(name: str, act: str) -> Response:
    """Start an operation: 202 with its id, or with `?wait=true` its end and the slot after it."""
    body = _definition() if request.content_length else {}
    job = ACTS[act](name, body)
    if not asked("wait"):
        response = jsonify(operation=job.id)
        response.status_code = 202
        response.headers["Location"] = f"/api/operations/{job.id}"
        return response
    if not job.wait(WAIT_S):
        raise errors.error("slot.loading", f"the {act} is still under way; see /api/operations/{job.id}")
    now = hal0().clock()
    hal0().observer.after(now, 5.0)
    return _json(hal0().slots.one(name))
