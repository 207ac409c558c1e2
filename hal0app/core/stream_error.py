"""An error told in the middle of a stream, in the words of the endpoint's own protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hal0app.core import sse

Error = Mapping[str, Any]


def _openai(error: Error) -> bytes:
    return sse.frame(json.dumps({"error": error}))


def _anthropic(error: Error) -> bytes:
    told = {"type": "error", "error": {"type": "api_error", "message": error.get("message", "")}}
    return sse.frame(json.dumps(told), event="error")


def _responses(error: Error) -> bytes:
    told = {"type": "error", **{key: error.get(key) for key in ("code", "message", "param")}}
    return sse.frame(json.dumps(told), event="error")


SHAPES: dict[str, Callable[[Error], bytes]] = {"messages": _anthropic, "responses": _responses}


def event(endpoint: str, error: Error) -> bytes:
    """The event that tells `error` to a client of `endpoint` (what follows /v1/)."""
    return SHAPES.get(endpoint, _openai)(error)


def of_upstream(status: int, body: bytes) -> Error:
    """The error that an upstream's own answer tells: its error object, where it has one."""
    text = body.decode("utf-8", "replace").strip()
    told = sse.failure(text)
    return told or broken(f"the backend answered with status {status}: {text[:500]}")


def broken(message: str) -> Error:
    """The error object for a backend that did not answer properly."""
    return {"message": message, "type": "server_error", "code": "upstream.protocol", "param": None}
