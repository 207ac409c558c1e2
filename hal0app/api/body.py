"""Reading what a client sent: JSON objects whole and bounded, forms no further than to their model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from flask import Request

from hal0app import errors
from hal0app.api.breath import Breath
from hal0app.api.context import hal0
from hal0app.api.incoming import Incoming, of_its_head
from hal0app.api.plain_request import Held
from hal0app.api.upload import patience, pieces
from hal0app.core import json_body, json_keys
from hal0app.core.json_body import JsonBody, NotJson
from hal0app.core.multipart import FieldSearch
from hal0app.services.room import Hold
from hal0app.services.upload import Kept, Upload

MODEL_BYTES = 4096


def json_object(request: Request, limit: int) -> tuple[bytes, dict[str, Any]]:
    """The body and the JSON object in it, parsed. Raises what `bounded` raises, `request.invalid_json`."""
    with hal0().room.hold() as hold:
        peer, idle_s = request.environ.get("gunicorn.socket"), hal0().settings.dispatch.upload_idle_s
        raw = bounded(request, limit, peer, idle_s, hold)
    try:
        payload = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        where = f" (line {problem.lineno}, column {problem.colno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise errors.error("request.invalid_json", f"the body is not valid JSON{where}") from None
    if not isinstance(payload, dict):
        raise errors.error("request.invalid_json", "the body must be a JSON object")
    return raw, payload


def json_fields(request: Incoming, limit: int, peer: Any, idle_s: float, hold: Hold) -> JsonBody:
    """The JSON object in the body, its values not parsed. Raises what `bounded` raises, `request.invalid_json`."""
    raw = bounded(request, limit, peer, idle_s, hold)
    if json_keys.is_suspicious(raw):
        _count_keys(raw)
    try:
        body = json_body.read(raw)
    except NotJson as problem:
        raise errors.error("request.invalid_json", str(problem)) from None
    if len(body.fields) > json_keys.MOST:
        raise _too_many_keys()
    return body


def _count_keys(raw: bytes) -> None:
    breathe = Breath()
    for keys in json_keys.counting(raw):
        if keys > json_keys.MOST:
            raise _too_many_keys()
        breathe()


def _too_many_keys() -> errors.Hal0Error:
    message = f"the body has more than {json_keys.MOST} keys at its top; send only those that the endpoint knows"
    return errors.error("request.invalid_json", message)


def bounded(request: Incoming, limit: int, peer: Any, idle_s: float, hold: Hold) -> bytes:
    """The body, read over the socket `peer`, which `hold` then holds.

    Raises `request.unsupported_media_type` for a packed one, `request.too_large` beyond `limit` bytes,
    `system.overloaded` when all bodies together are too large, `request.timeout` when nothing of it comes for `idle_s`
    seconds.
    """
    check_plain(request)
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if isinstance(request.stream, Held):
        hold.more(request.content_length or 0)
        return request.stream.read(limit)
    read = BytesIO()
    with patience(peer, request.stream, idle_s):
        for piece in pieces(request.stream):
            if hold.held + len(piece) > limit:
                raise _too_large(limit)
            hold.more(len(piece))
            read.write(piece)
        if hold.held < (request.content_length or 0):
            raise ConnectionResetError("it ended before its body did")
    return read.getvalue()


@of_its_head
def check_plain(request: Incoming) -> None:
    """Raise `request.unsupported_media_type` unless the body is sent as it is."""
    packed = (request.headers.get("Content-Encoding") or "identity").strip().lower()
    if packed != "identity":
        message = f"the body is sent with Content-Encoding: {packed[:40]}; send it unpacked, without that header"
        raise errors.error("request.unsupported_media_type", message)


def _too_large(limit: int) -> errors.Hal0Error:
    return errors.error("request.too_large", f"the body is larger than {limit >> 20} MiB")


@of_its_head
def is_form(request: Incoming) -> bool:
    """Whether the body is an upload."""
    return request.mimetype == "multipart/form-data"


def form(
    request: Incoming, rest: Iterator[bytes], limit: int, hold: Hold, kept: Kept | None = None, needed: str = ""
) -> Upload:
    """The form whose body comes as `rest`, read as far as its field `model` and its first file.

    `needed` is what a file that it must have is called. `hold` holds what was read; what is kept of the rest counts for
    `kept`.

    Raises `request.invalid_field` when it is no form, `request.missing_field` when it is a whole one without that file,
    `request.too_large` when the field is not within `limit` bytes,
    `system.overloaded` when all bodies together are too large.
    """
    boundary = request.mimetype_params.get("boundary", "") if is_form(request) else ""
    if not boundary:
        raise errors.error("request.invalid_field", "send this as multipart/form-data, with its boundary")
    mark = boundary.encode("latin-1", "replace")
    search, head = FieldSearch(mark, "model", needed), bytearray()
    ended = False
    while not (search.look(head) or ended):
        if len(head) > limit and search.span:
            break
        if len(head) > limit:
            message = f"the form's field 'model' is not within its first {limit >> 20} MiB: send it before the file"
            raise errors.error("request.too_large", message, param="model")
        piece = next(rest, None)
        ended = piece is None
        hold.more(len(piece or b""))
        head += piece or b""
    if search.span and search.span[1] - search.span[0] > MODEL_BYTES:
        raise errors.error("request.invalid_field", "'model' is too long to be a name", param="model")
    if (search.ended or ended) and needed and not search.has_file:
        raise errors.error("request.missing_field", f"'{needed}' is required and must be a file", param=needed)
    return Upload(mark, bytes(head), search.span, rest, request.content_length, kept)
