"""What the embedded engine refuses, in lemond's own error shapes (contract section 4: A, B, C, D)."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

LOAD_FAILURES = frozenset({"model_not_found", "model_load_error", "slots_pinned_error"})


class EngineError(Exception):
    """A refusal: an HTTP status and the JSON body that lemond would send."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


class StartError(Exception):
    """A backend did not start. `wipes` says whether lemond would evict everything and try once more."""

    KEEPS_RESIDENTS = ("not found", "does not exist", "No such file")

    @property
    def wipes(self) -> bool:
        return not any(text in str(self) for text in self.KEEPS_RESIDENTS)


def plain(status: int, text: str, **more: Any) -> EngineError:
    """Shape A: `{"error": "text"}`, with possible siblings."""
    return EngineError(status, {"error": text, **more})


def typed(status: int, message: str, kind: str) -> EngineError:
    """Shape C without details: `{"error": {message, type}}`."""
    return EngineError(status, {"error": {"message": message, "type": kind}})


def model_error(status: int, code: str, message: str, requested: str) -> EngineError:
    """Shape B: an error about one model."""
    error = {"code": code, "message": message, "param": "model", "requested_model": requested, "type": code}
    return EngineError(status, {"error": error})


def model_not_found(requested: str, known: list[str]) -> EngineError:
    some = ", ".join(f"'{name}'" for name in known[:3])
    message = f"Model '{requested}' was not found. Available models include: {some}."
    return model_error(404, "model_not_found", message, requested)


def load_error(requested: str, cause: Exception) -> EngineError:
    return model_error(500, "model_load_error", f"Failed to load model '{requested}': {cause}", requested)


def slots_pinned(requested: str, pool: str) -> EngineError:
    message = f"All loaded models of type {pool} are pinned. Unload a model first."
    return model_error(409, "slots_pinned_error", message, requested)


def invalid_request(message: str) -> EngineError:
    """The shape of POST /load for a body of the wrong types."""
    error = {"code": "invalid_request", "message": message, "type": "invalid_request_error"}
    return EngineError(400, {"error": error})


def unknown_route(path: str) -> EngineError:
    """Shape D."""
    message = "The requested endpoint does not exist"
    return EngineError(404, {"error": {"message": message, "path": path, "type": "not_found"}})


def from_backend(status: int, answer: Any) -> EngineError:
    """Shape C with details: what llama-server said, wrapped as lemond wraps it."""
    inner = answer.get("error") if isinstance(answer, dict) else None
    inner = inner if isinstance(inner, dict) else {"message": str(answer)}
    overflow = inner.get("type") == "exceed_context_size_error"
    error = {
        "code": "context_length_exceeded" if overflow else inner.get("code", status),
        "details": {"backend": "llama-server", "response": answer},
        "message": inner.get("message", ""),
        "status_code": status,
        "type": "invalid_request_error" if overflow else inner.get("type", "backend_error"),
    }
    return EngineError(status, {"error": error})


def anthropic(error: EngineError) -> EngineError:
    """Shape F: the same refusal as Anthropic's clients get it; every failed load is a 404."""
    told = error.body.get("error")
    text = told.get("message") if isinstance(told, dict) else told
    failed_load = isinstance(told, dict) and told.get("code") in LOAD_FAILURES
    status = 404 if failed_load else error.status
    kind = "not_found_error" if status == 404 else "invalid_request_error" if status < 500 else "api_error"
    return EngineError(status, {"type": "error", "error": {"type": kind, "message": str(text)}})


def unsupported(status: int, what: str) -> EngineError:
    """An audio or image request to a model that cannot serve it, told after that was loaded."""
    return typed(status, f"{what} not supported by cpu", "unsupported_operation")


def backend_lost(reason: str) -> Body:
    """The event that ends a stream whose backend died: no `[DONE]` follows it."""
    details = {"backend": "llama-server", "code": "backend_watchdog_reset", "reason": reason, "retryable": True}
    message = "llama-server was lost during the request. The model will be reloaded automatically on retry."
    return {"error": {"details": details, "message": message, "type": "backend_error"}}
