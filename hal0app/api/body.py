"""Reading what a client sent: bounded JSON objects, or an upload passed on as it comes."""

from __future__ import annotations

import io
import json
from typing import Any

from flask import Request
from werkzeug.formparser import FormDataParser

from hal0app import errors
from hal0app.api.context import hal0
from hal0app.api.upload import patience


def json_object(request: Request, limit: int) -> tuple[bytes, dict[str, Any]]:
    """The body and the JSON object in it. Raises `request.too_large`, `request.invalid_json` with the position."""
    raw = bounded(request, limit)
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        where = f" (line {problem.lineno}, column {problem.colno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise errors.error("request.invalid_json", f"the body is not valid JSON{where}") from None
    if not isinstance(payload, dict):
        raise errors.error("request.invalid_json", "the body must be a JSON object")
    return raw, payload


def bounded(request: Request, limit: int) -> bytes:
    """The body. Raises `request.too_large` beyond `limit` bytes."""
    source = request.stream
    with patience(request.environ.get("gunicorn.socket"), source, hal0().settings.dispatch.upload_idle_s):
        sized = request.content_length is not None
        raw = b"" if (request.content_length or 0) > limit else source.read() if sized else source.read(limit + 1)
        if max(len(raw), request.content_length or 0) > limit:
            raise errors.error("request.too_large", f"the body is larger than {limit >> 20} MiB")
    return raw


def form_field(request: Request, raw: bytes, name: str) -> str:
    """A field of the form in `raw`; empty when there is none."""
    _, fields, _ = FormDataParser(silent=True).parse(
        io.BytesIO(raw), request.mimetype, len(raw), request.mimetype_params
    )
    return str(fields.get(name) or "")
