"""`/api/models`, `/api/downloads`, `/api/backends`: what is on the disk, and what is on its way there."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from hal0app import errors
from hal0app.api.body import json_object
from hal0app.api.context import agent, hal0
from hal0app.core.download import Download

bp = Blueprint("models", __name__)

BODY_LIMIT = 1 << 20
TRUE = {"1", "true", "yes"}


def _accepted(download: Download) -> Response:
    response = jsonify(download.as_json())
    response.status_code = 202
    response.headers["Location"] = "/api/downloads"
    return response


@bp.get("/api/models")
def models() -> Response:
    """Every model on this machine, with the slots that name it."""
    return jsonify([one.as_json() for one in hal0().models.all()])


@bp.delete("/api/models/<path:id>")
def delete(id: str) -> Response:  # noqa: A002 - the name in the address
    """Unload and delete a model; in use only with `?force=true`."""
    hal0().models.delete(id, request.args.get("force", "").lower() in TRUE, agent())
    return Response(status=204)


@bp.post("/api/models/<path:id>/clear")
def clear(id: str) -> Response:  # noqa: A002 - the name in the address
    """Take a model out of quarantine, so that the next request tries it again."""
    hal0().models.clear(id, agent() or "you")
    return Response(status=204)


@bp.post("/api/models/pull")
def pull() -> Response:
    """Start a download: 202 with its row."""
    if request.mimetype != "application/json":
        raise errors.error("request.unsupported_media_type", "send the request as application/json")
    return _accepted(hal0().models.pull(json_object(request, BODY_LIMIT)[1], agent()).latest)


@bp.get("/api/downloads")
def downloads() -> Response:
    """What lemond downloads, or did within the last half minute."""
    return jsonify([one.as_json() for one in hal0().downloads.all()])


@bp.post("/api/downloads/<path:id>/pause")
def pause(id: str) -> Response:  # noqa: A002 - the name in the address
    """Stop a download, keep what is there."""
    hal0().downloads.pause(id, agent())
    return Response(status=204)


@bp.post("/api/downloads/<path:id>/resume")
def resume(id: str) -> Response:  # noqa: A002 - the name in the address
    """Go on with a download."""
    hal0().downloads.resume(id, agent())
    return Response(status=204)


@bp.post("/api/downloads/<path:id>/cancel")
def cancel(id: str) -> Response:  # noqa: A002 - the name in the address
    """Give a download up."""
    hal0().downloads.cancel(id, agent())
    return Response(status=204)


@bp.post("/api/downloads/<path:id>/discard")
def discard(id: str) -> Response:  # noqa: A002 - the name in the address
    """Delete what a download that was stopped left on the disk."""
    hal0().downloads.discard(id, agent())
    return Response(status=204)


@bp.get("/api/backends")
def backends() -> Response:
    """Every backend of every recipe, with its state on this machine."""
    return jsonify(hal0().backends.all())


@bp.post("/api/backends/<recipe>:<backend>/install")
def install(recipe: str, backend: str) -> Response:
    """Start to install a backend: 202 with its download's row, 204 when it is there already."""
    begun = hal0().backends.install(recipe, backend, agent())
    return Response(status=204) if begun is None else _accepted(begun)
