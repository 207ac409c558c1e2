"""How an error is said on `/v1`: OpenAI's shape, or Anthropic's where Anthropic's clients ask."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

_LEADING = re.compile(r"([a-z]+(?:[._][a-z]+)+): ")


class Dialect(StrEnum):
    """Whose clients speak at an endpoint."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


# The `type` for a status; below 500 and above it the last two lines hold for what is not listed.
TYPES: dict[Dialect, dict[int, str]] = {
    Dialect.OPENAI: {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        400: "invalid_request_error",
        500: "server_error",
    },
    Dialect.ANTHROPIC: {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        400: "invalid_request_error",
        500: "api_error",
    },
}


def error_type(dialect: Dialect, status: int) -> str:
    """The dialect's word for what an HTTP status says."""
    types = TYPES[dialect]
    return types.get(status) or types[400 if status < 500 else 500]


def error_body(dialect: Dialect, status: int, message: str, code: str | None, param: str | None) -> dict[str, Any]:
    """The JSON object of an error answer. Anthropic's shape has no place for a code: it leads the message."""
    kind = error_type(dialect, status)
    if dialect is Dialect.ANTHROPIC:
        told = f"{code}: {message}" if code else message
        return {"type": "error", "error": {"type": kind, "message": told}}
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def leading_code(message: object) -> str | None:
    """The code that leads a message, as in Anthropic's shape; None when there is none."""
    found = _LEADING.match(message) if isinstance(message, str) else None
    return found[1] if found else None
