"""Reading what a client sent: JSON objects whole and bounded, forms no further than to their model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from flask import Request

from hal0app import errors
from hal0app.api.context import hal0
from hal0app.api.incoming import Incoming
from hal0app.api.upload import BREATH_BYTES, PIECE, patience
from hal0app.core import json_body
from hal0app.core.json_body import JsonBody, NotJson
from hal0app.core.multipart import FieldSearch
from hal0app.services.upload import Kept, Upload

MODEL_BYTES = 4096


def json_object(request: Request, limit: int) -> tuple[bytes, dict[str, Any]]:
    """The body and the JSON object in it, parsed. Raises `request.too_large`, `request.invalid_json`."""
    raw = bounded(request, limit, request.environ.get("gunicorn.socket"), hal0().settings.dispatch.upload_idle_s)
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        where = f" (line {problem.lineno}, column {problem.colno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise errors.error("request.invalid_json", f"the body is not valid JSON{where}") from None
    if not isinstance(payload, dict):
        raise errors.error("request.invalid_json", "the body must be a JSON object")
    return raw, payload


def json_fields(request: Incoming, limit: int, peer: Any, idle_s: float) -> JsonBody:
    """The JSON object in the body, its values not parsed. Raises `request.too_large`, `request.invalid_json`."""
    raw = bounded(request, limit, peer, idle_s)
    if len(raw) >= BREATH_BYTES:
        time.sleep(0)
    try:
        return json_body.read(raw)
    except NotJson as problem:
        raise errors.error("request.invalid_json", str(problem)) from None


def bounded(request: Incoming, limit: int, peer: Any, idle_s: float) -> bytes:
    """The body, read over the socket `peer`.

    Raises `request.too_large` beyond `limit` bytes, `request.timeout` when nothing of it comes for `idle_s` seconds.
    """
    read: list[bytes] = []
    size = 0
    with patience(peer, request.stream, idle_s):
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        for piece in _pieces(request):
            read.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
        if size < (request.content_length or 0):
            raise ConnectionResetError("it ended before its body did")
    return read[0] if len(read) == 1 else b"".join(read)


def _too_large(limit: int) -> errors.Hal0Error:
    return errors.error("request.too_large", f"the body is larger than {limit >> 20} MiB")


def _pieces(request: Incoming) -> Iterator[bytes]:
    """The body as it comes, with a breath for everybody else now and then."""
    taken = 0
    while piece := request.stream.read(PIECE):
        yield piece
        taken += len(piece)
        if taken >= BREATH_BYTES:
            taken = 0
            time.sleep(0)


def is_form(request: Incoming) -> bool:
    """Whether the body is an upload."""
    return request.mimetype == "multipart/form-data"


def form(request: Incoming, rest: Iterator[bytes], limit: int, kept: Kept | None = None) -> Upload:
    """The form whose body comes as `rest`, read as far as its field `model`; what is kept of it counts for `kept`.

    Raises `request.invalid_field` when it is no form, `request.too_large` when the field is not within `limit` bytes.
    """
    boundary = request.mimetype_params.get("boundary", "") if is_form(request) else ""
    if not boundary:
        raise errors.error("request.invalid_field", "send this as multipart/form-data, with its boundary")
    mark = boundary.encode("latin-1", "replace")
    search, head = FieldSearch(mark, "model"), bytearray()
    ended = False
    while not (search.look(head) or ended):
        if len(head) > limit:
            message = f"the form's field 'model' is not within its first {limit >> 20} MiB: send it before the file"
            raise errors.error("request.too_large", message, param="model")
        piece = next(rest, None)
        ended = piece is None
        head += piece or b""
    if search.span and search.span[1] - search.span[0] > MODEL_BYTES:
        raise errors.error("request.invalid_field", "'model' is too long to be a name", param="model")
    return Upload(mark, bytes(head), search.span, rest, request.content_length, kept)
