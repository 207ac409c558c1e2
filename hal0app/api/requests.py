"""`/api/requests`, `/api/stats` and `/metrics`: what hal0 knows of its requests."""

from __future__ import annotations

import re

from flask import Blueprint, Response, jsonify, request

from hal0app.api import query
from hal0app.api.context import hal0
from hal0app.core.request_record import Filters
from hal0app.services.stats import WINDOWS

bp = Blueprint("requests", __name__)

LIMIT, MOST = 100, 1000
KNOWN = ("since", "before", "slot", "model", "status", "agent", "limit")
_STATUS = re.compile(r"([1-5])(xx|[0-9]{2})")


@bp.get("/api/requests")
def requests() -> Response:
    """Records, newest first; the filters are KNOWN."""
    query.only(KNOWN)
    filters = Filters(
        limit=query.number("limit", LIMIT, lowest=1, highest=MOST),
        since=query.number("since", 0, lowest=0, highest=query.LARGEST),
        before=query.number("before", query.LARGEST, lowest=0, highest=query.LARGEST)
        if "before" in request.args
        else None,
        slot=request.args.get("slot"),
        model=request.args.get("model"),
        agent=request.args.get("agent"),
        status=_status(request.args.get("status")),
    )
    return jsonify([one.as_json() for one in hal0().requests.select(filters)])


def _status(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _STATUS.fullmatch(text)
    if found is None:
        raise query.invalid("status", f"'status' is '{text[:64]}', but must be a status like 200, or a class like 5xx")
    lowest = int(found[1]) * 100 + (0 if found[2] == "xx" else int(found[2]))
    return lowest, lowest + (99 if found[2] == "xx" else 0)


@bp.get("/api/stats")
def stats() -> Response:
    """The figures of every window, or with `?window=` of one, per slot and per endpoint."""
    name = request.args.get("window")
    if name is not None and name not in WINDOWS:
        raise query.invalid("window", f"there is no window '{name[:64]}'; there are {', '.join(WINDOWS)}")
    told = {}
    for one in [name] if name else WINDOWS:
        window = hal0().stats.window(one)
        told[one] = {
            "seconds": window.seconds,
            "taken_at": round(window.taken_at, 3),
            "slots": {key: value.as_json(window.seconds) for key, value in window.slots.items()},
            "endpoints": {key: value.as_json(window.seconds) for key, value in window.endpoints.items()},
        }
    return jsonify(windows=told, lost_records=hal0().requests.lost)


@bp.get("/metrics")
def metrics() -> Response:
    """Prometheus' exposition."""
    text, kind = hal0().metrics(request.headers.get("Accept", ""))
    return Response(text, content_type=kind)
