"""`/api/settings`: every setting with its source, and changes into the dashboard's own file."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from hal0app import errors
from hal0app.api.body import json_object
from hal0app.api.context import agent, hal0

bp = Blueprint("settings", __name__)

BODY_LIMIT = 1 << 20


@bp.get("/api/settings")
def settings() -> Response:
    """Every setting."""
    return jsonify([one.as_json() for one in hal0().desk.all()])


@bp.patch("/api/settings")
def change() -> Response:
    """Lay the body over what was saved before."""
    if request.mimetype != "application/json":
        raise errors.error("request.unsupported_media_type", "send the settings as application/json")
    changes = json_object(request, BODY_LIMIT)[1]
    return jsonify([one.as_json() for one in hal0().desk.change(changes, agent())])
