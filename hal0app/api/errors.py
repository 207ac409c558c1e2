"""Errors as HTTP answers: OpenAI's shape on every path, with `details` added outside `/v1`."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from hal0app import errors
from hal0app.errors import Hal0Error

log = logging.getLogger(__name__)

# OpenAI's `type` for a status; its clients choose their exception by the status and show the type.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

# What Flask itself refuses, in our words.
OF_FLASK = {
    404: ("request.not_found", "there is nothing at this address"),
    405: ("request.method_not_allowed", "this address does not take that method"),
    413: ("request.too_large", "the body is too large"),
}


def body(error: Hal0Error, with_details: bool) -> dict[str, Any]:
    """The error object as a client sees it."""
    kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    told: dict[str, Any] = {"message": error.message, "type": kind, "code": error.code, "param": error.param}
    if with_details:
        told["details"] = error.details
    return {"error": told}


def respond(error: Hal0Error) -> Response:
    """The answer for `error`; `g.error_code` keeps its code for the request's record."""
    g.error_code = error.code
    response = jsonify(body(error, with_details=not _speaks_openai()))
    response.status_code = error.status
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="hal0, admin key as the password"'
    return response


def _speaks_openai() -> bool:
    return request.path.startswith(("/v1/", "/api/v1/"))


def _of_flask(problem: HTTPException) -> Response:
    code, message = OF_FLASK.get(problem.code or 500, ("request.invalid_field", problem.description or "bad request"))
    return respond(errors.error(code, message))


def _unexpected(problem: Exception) -> Response:
    log.error("%s %s failed unexpectedly", request.method, request.path, exc_info=problem)
    return respond(errors.error("system.internal", "an unexpected fault in hal0; its log has the trace"))


def init_app(app: Flask) -> None:
    """Turn every exception of a view into an answer."""
    app.register_error_handler(Hal0Error, respond)
    app.register_error_handler(HTTPException, _of_flask)
    app.register_error_handler(Exception, _unexpected)
