"""`/api/requests`, `/api/stats` and `/metrics`: what hal0 knows of its requests."""

from __future__ import annotations

import re

from flask import Blueprint, Response, jsonify, request

from hal0app import errors
from hal0app.api.context import hal0
from hal0app.core.request_record import Filters
from hal0app.services.stats import WINDOWS

bp = Blueprint("requests", __name__)

LIMIT, MOST = 100, 1000
LARGEST = (1 << 63) - 1
KNOWN = ("since", "before", "slot", "model", "status", "agent", "limit")
_STATUS = re.compile(r"([1-5])(xx|[0-9]{2})")


@bp.get("/api/requests")
def requests() -> Response:
    """Records, newest first; the filters are KNOWN."""
    for name in request.args:
        if name not in KNOWN:
            raise _invalid(name, f"there is no filter '{name[:64]}'; there are {', '.join(KNOWN)}")
    filters = Filters(
        limit=_number("limit", LIMIT, lowest=1, highest=MOST),
        since=_number("since", 0, lowest=0, highest=LARGEST),
        before=_number("before", LARGEST, lowest=0, highest=LARGEST) if "before" in request.args else None,
        slot=request.args.get("slot"),
        model=request.args.get("model"),
        agent=request.args.get("agent"),
        status=_status(request.args.get("status")),
    )
    return jsonify([one.as_json() for one in hal0().requests.select(filters)])


def _number(name: str, default: int, lowest: int, highest: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))
    if not digits or not lowest <= int(text) <= highest:
        raise _invalid(name, f"'{name}' is '{text[:64]}', but must be a whole number from {lowest} to {highest}")
    return int(text)


def _status(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _STATUS.fullmatch(text)
    if found is None:
        raise _invalid("status", f"'status' is '{text[:64]}', but must be a status like 200, or a class like 5xx")
    lowest = int(found[1]) * 100 + (0 if found[2] == "xx" else int(found[2]))
    return lowest, lowest + (99 if found[2] == "xx" else 0)


def _invalid(name: str, message: str) -> errors.Hal0Error:
    return errors.error("request.invalid_field", message, param=name[:64])


@bp.get("/api/stats")
def stats() -> Response:
    """The figures of every window, or with `?window=` of one, per slot and per endpoint."""
    name = request.args.get("window")
    if name is not None and name not in WINDOWS:
        raise _invalid("window", f"there is no window '{name[:64]}'; there are {', '.join(WINDOWS)}")
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
