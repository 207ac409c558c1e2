"""`/api/journal`: what changed and why, as a list and as a stream that resumes where it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request

from hal0app.api import query
from hal0app.api.context import hal0
from hal0app.core import sse
from hal0app.core.journal import Entry

bp = Blueprint("journal", __name__)

LIMIT = 1000
LEVELS = ("info", "warning", "error")
FILTERS = ("slot", "kind", "level", "source", "q")
STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@bp.get("/api/journal")
def journal() -> Response:
    """Entries after `since` (an id), oldest first; without it the newest ones."""
    query.only(("since", "limit", *FILTERS))
    limit = min(query.number("limit", 200, lowest=1, highest=query.LARGEST), LIMIT)
    since, level = request.args.get("since"), request.args.get("level")
    if since and not _is_id(since):
        raise query.invalid("since", f"'since' is '{since[:64]}', but must be the id of an entry")
    if level and level not in LEVELS:
        raise query.invalid("level", f"there is no level '{level[:64]}'; there are {', '.join(LEVELS)}")
    filters = {name: request.args.get(name) for name in FILTERS}
    found = hal0().store.journal(_id(since or "0"), limit, newest=not since, **filters)
    return jsonify([entry_json(one) for one in found])


@bp.get("/api/journal/stream")
def stream() -> Response:
    """Server-sent events, one an entry; after the id in Last-Event-ID or `since`, else only what comes from now on."""
    feed = hal0().feed
    asked = request.headers.get("Last-Event-ID") or request.args.get("since") or ""
    since = _id(asked) if _is_id(asked) else feed.newest()
    return Response(_events(feed.follow(since)), mimetype="text/event-stream", headers=STREAM_HEADERS)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _id(text: str) -> int:
    """An entry's id; one beyond all that SQLite can count is as good as the greatest."""
    return min(int(text[:20]), query.LARGEST)


def _events(batches: Iterator[list[Entry]]) -> Iterator[bytes]:
    yield sse.comment("hal0 journal")
    for batch in batches:
        yield b"".join(_event(one) for one in batch) if batch else sse.comment("quiet")


def _event(one: Entry) -> bytes:
    return f"id: {one.id}\n".encode() + sse.frame(json.dumps(entry_json(one)), "journal")


def entry_json(one: Entry) -> dict[str, Any]:
    """A journal entry as the API shows it."""
    return {**one.__dict__, "ts": round(one.ts, 3)}
