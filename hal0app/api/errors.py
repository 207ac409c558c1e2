"""Every exception of a view becomes an answer."""

from __future__ import annotations

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, InternalServerError

from hal0app import errors
from hal0app.api.error_answer import error_answer, error_event
from hal0app.api.faults import unexpected
from hal0app.api.relayed import LastEvent, begun
from hal0app.core.endpoints import methods, within
from hal0app.errors import Hal0Error

# What Flask itself refuses, in our words.
OF_FLASK = {
    404: ("request.not_found", "there is nothing at this address"),
    405: ("request.method_not_allowed", "this address does not take that method"),
    413: ("request.too_large", "the body is too large"),
}


def respond(error: Hal0Error) -> Response:
    """The answer for `error`; an event of the stream when the client has been sent signs of life.

    `g.error_code` keeps its code for the request's record.
    """
    g.error_code = error.code
    client = begun(request.environ)
    if client is not None:
        return LastEvent(client, error_event(error, request.path))
    told = error_answer(error, request.path)
    return Response(told.body, told.status, told.headers)


def _of_flask(problem: HTTPException) -> Response:
    if isinstance(problem, InternalServerError):  # what failed behind the view, where no handler of ours is asked
        return _unexpected(problem.original_exception or problem)
    code, message = OF_FLASK.get(problem.code or 500, ("request.invalid_field", problem.description or "bad request"))
    inside = within(request.path)
    taken = getattr(problem, "valid_methods", None) or ()
    allow = ", ".join(methods(inside) if inside is not None and taken else sorted(taken))
    return respond(errors.error(code, message, allow=allow) if allow else errors.error(code, message))


def _unexpected(problem: BaseException) -> Response:
    return respond(unexpected(request.method, request.path, problem))


def init_app(app: Flask) -> None:
    """Turn every exception of a view into an answer."""
    app.register_error_handler(Hal0Error, respond)
    app.register_error_handler(HTTPException, _of_flask)
    app.register_error_handler(Exception, _unexpected)
