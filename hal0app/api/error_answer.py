"""hal0's own errors as answers: the endpoint's dialect on `/v1`, OpenAI's shape with `details` everywhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hal0app.core import stream_error
from hal0app.core.dialect import Dialect, error_body
from hal0app.core.endpoints import dialect, within
from hal0app.core.headers import Headers
from hal0app.errors import Hal0Error, SlotError


@dataclass(frozen=True)
class ErrorAnswer:
    """What a client is sent; `headers` are without those of its connection."""

    status: int
    headers: Headers
    body: bytes


def error_answer(error: Hal0Error, path: str) -> ErrorAnswer:
    """The answer for `error` to a request for `path`."""
    body = json.dumps(_told(error, path), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if error.retry_after is not None:
        headers.append(("Retry-After", str(error.retry_after)))
    elif _is_lasting(error) and within(path) is not None:
        headers.append(("X-Should-Retry", "false"))
    if error.details.get("allow"):
        headers.append(("Allow", error.details["allow"]))
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="hal0, admin key as the password"'))
    return ErrorAnswer(error.status, headers, body)


def _is_lasting(error: Hal0Error) -> bool:
    """Whether somebody has to act first, though by its status OpenAI's and Anthropic's clients would try again."""
    return isinstance(error, SlotError) or error.code == "model.load_failed"


def _told(error: Hal0Error, path: str) -> dict[str, Any]:
    told = error_body(dialect(path), error.status, error.message, error.code, error.param)
    if within(path) is None:
        told["error"]["details"] = error.details
    return told


def error_event(error: Hal0Error, path: str) -> bytes:
    """The same as the last event of a stream, for a client that has been sent signs of life."""
    told = error_body(Dialect.OPENAI, error.status, error.message, error.code, error.param)["error"]
    return stream_error.event(within(path) or "", told, error.status)
