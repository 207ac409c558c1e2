"""Errors of lemond and its backends in the words of `/v1`: six shapes in (lemonade-contract.md section 4), one out.

What has a dialect's shape already is left as it is; of everything else the status stays, and the code is mapped.
"""

from __future__ import annotations

import json
from typing import Any

from hal0app.core.dialect import Dialect, error_body

TEXT_CHARACTERS = 500

# The backend's word for what went wrong -> ours. A prompt that is too long keeps the word that OpenAI's clients know.
CODE_OF_TYPE: dict[str, str] = {
    "model_not_loaded": "model.gone",
    "unsupported_operation": "model.type_mismatch",
    "not_supported_error": "model.type_mismatch",
    "exceed_context_size_error": "context_length_exceeded",
    "invalid_request": "request.invalid_field",
    "invalid_request_error": "request.invalid_field",
    "not_found": "request.not_found",
    "network_error": "upstream.protocol",
}
CODE_OF_STATUS: dict[int, str] = {
    400: "request.invalid_field",
    401: "lemonade.refused",
    403: "lemonade.refused",
    404: "request.not_found",
    405: "request.method_not_allowed",
    413: "request.too_large",
}
OTHERWISE = "upstream.refused"
# What llama-server says with a 500 though the request is at fault, which its clients would send again and again.
OF_THE_REQUEST = (
    "Failed to parse messages",
    "Failed to parse tools",
    "image input is not supported",
    "audio input is not supported",
    "is too large to process",
    "Unknown reasoning format",
    "[json.exception.type_error",
)
STATUS_OF_TYPE = {"model_not_loaded": 404, "invalid_request_error": 400, "invalid_request": 400, "not_found_error": 404}


def normalised(status: int, raw: bytes, dialect: Dialect) -> bytes | None:
    """The body of an error answer in the dialect's shape; None when it has it already."""
    return None if _has_shape(_parsed(raw), dialect) else restated(status, raw, dialect)


def restated(status: int, raw: bytes, dialect: Dialect) -> bytes:
    """The body of an error answer with this status, in the dialect's shape."""
    told = _parsed(raw)
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict) and _has_shape(told, Dialect.OPENAI):
        code, param = error["code"], error.get("param")
    else:
        code, param = _code(status, error), None
    return json.dumps(error_body(dialect, status, _message(status, error, raw), code, param)).encode()


def meant(status: int, raw: bytes) -> int:
    """The status that an error answer should have had: whose fault it is decides whether to try again."""
    told = _parsed(raw) if status == 500 else None
    error = told.get("error") if isinstance(told, dict) else None
    text = _message(status, error, raw) if error is not None else ""
    return 400 if any(words in text for words in OF_THE_REQUEST) else status


def status_of(error: dict[str, Any]) -> int:
    """The HTTP status of an error that came as a stream's first event, under a 200."""
    for told in (error.get("status_code"), error.get("code")):
        if isinstance(told, int) and 400 <= told < 600:
            return told
    return STATUS_OF_TYPE.get(str(error.get("type")), 500)


def is_loading(status: int, error: dict[str, Any]) -> bool:
    """Whether a backend says that it is not ready yet (llama-server's 503 "Loading model")."""
    return status == 503 and error.get("type") == "unavailable_error"


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _has_shape(told: Any, dialect: Dialect) -> bool:
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, dict) or not all(isinstance(error.get(key), str) for key in ("message", "type")):
        return False
    if dialect is Dialect.ANTHROPIC:
        return bool(told.get("type") == "error")
    return "code" in error and isinstance(error["code"], str | None)


def _code(status: int, error: Any) -> str:
    kind = error.get("type") if isinstance(error, dict) else None
    return CODE_OF_TYPE.get(str(kind)) or CODE_OF_STATUS.get(status) or OTHERWISE


def _message(status: int, error: Any, raw: bytes) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    if isinstance(text, str) and text:
        return text
    text = "" if raw.lstrip()[:1] in (b"<", b"{", b"[") else raw.decode("utf-8", "replace").strip()
    return text[:TEXT_CHARACTERS] or f"the backend answered {status} and did not say why"
