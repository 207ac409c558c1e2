"""An error told in the middle of a stream, in the words of the endpoint's own protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hal0app.core import sse
from hal0app.core.dialect import Dialect, error_body

Error = Mapping[str, Any]


def _openai(error: Error, status: int) -> bytes:
    return sse.frame(json.dumps({"error": error}))


def _anthropic(error: Error, status: int) -> bytes:
    told = error_body(Dialect.ANTHROPIC, status, str(error.get("message", "")), _code(error), None)
    return sse.frame(json.dumps(told), event="error")


def _code(error: Error) -> str | None:
    """hal0's code, or an upstream's that is a word; its numbers say nothing."""
    code = error.get("code")
    return code if isinstance(code, str) else None


def _responses(error: Error, status: int) -> bytes:
    told = {"type": "error", **{key: error.get(key) for key in ("code", "message", "param")}}
    return sse.frame(json.dumps(told), event="error")


SHAPES: dict[str, Callable[[Error, int], bytes]] = {"messages": _anthropic, "responses": _responses}


def event(endpoint: str, error: Error, status: int = 502) -> bytes:
    """The event that tells `error` to a client of `endpoint` (what follows /v1/).

    `status` is that of the answer which it would have been before the stream began.
    """
    return SHAPES.get(endpoint, _openai)(error, status)


def of_upstream(status: int, body: bytes) -> Error:
    """The error that an upstream's own answer tells: its error object, where it has one."""
    text = body.decode("utf-8", "replace").strip()
    told = sse.failure(text)
    return told or broken(f"the backend answered with status {status}: {text[:500]}")


def broken(message: str) -> Error:
    """The error object for a backend that did not answer properly."""
    return {"message": message, "type": "server_error", "code": "upstream.protocol", "param": None}


def stopped() -> Error:
    """The error object for an answer that was under way when hal0 had to end."""
    message = "hal0 is being stopped or restarted, and the answer is cut short here: send the request again"
    return {"message": message, "type": "server_error", "code": "system.stopping", "param": None}
