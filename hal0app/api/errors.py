"""Errors as HTTP answers: the endpoint's dialect on `/v1`, OpenAI's shape with `details` everywhere else."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from hal0app import errors
from hal0app.api.client_socket import begun
from hal0app.api.relay import LastEvent
from hal0app.core import stream_error
from hal0app.core.dialect import Dialect, error_body
from hal0app.core.endpoints import dialect, within
from hal0app.errors import Hal0Error

log = logging.getLogger(__name__)

# What Flask itself refuses, in our words.
OF_FLASK = {
    404: ("request.not_found", "there is nothing at this address"),
    405: ("request.method_not_allowed", "this address does not take that method"),
    413: ("request.too_large", "the body is too large"),
}


def body(error: Hal0Error, path: str) -> dict[str, Any]:
    """The error object as a client of `path` sees it."""
    told = error_body(dialect(path), error.status, error.message, error.code, error.param)
    if within(path) is None:
        told["error"]["details"] = error.details
    return told


def respond(error: Hal0Error) -> Response:
    """The answer for `error`; an event of the stream when the client has been sent signs of life.

    `g.error_code` keeps its code for the request's record.
    """
    g.error_code = error.code
    client = begun(request.environ)
    if client is not None:
        told = error_body(Dialect.OPENAI, error.status, error.message, error.code, error.param)["error"]
        return LastEvent(client, stream_error.event(within(request.path) or "", told))
    response = jsonify(body(error, request.path))
    response.status_code = error.status
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.details.get("allow"):
        response.headers["Allow"] = error.details["allow"]
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="hal0, admin key as the password"'
    return response


def _of_flask(problem: HTTPException) -> Response:
    code, message = OF_FLASK.get(problem.code or 500, ("request.invalid_field", problem.description or "bad request"))
    allow = ", ".join(sorted(getattr(problem, "valid_methods", None) or ()))
    return respond(errors.error(code, message, allow=allow) if allow else errors.error(code, message))


def _unexpected(problem: Exception) -> Response:
    log.error("%s %s failed unexpectedly", request.method, request.path, exc_info=problem)
    return respond(errors.error("system.internal", "an unexpected fault in hal0; its log has the trace"))


def init_app(app: Flask) -> None:
    """Turn every exception of a view into an answer."""
    app.register_error_handler(Hal0Error, respond)
    app.register_error_handler(HTTPException, _of_flask)
    app.register_error_handler(Exception, _unexpected)
