"""The answer to what gunicorn's parser refuses, in the shape of every other error."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName, LimitRequestHeaders, LimitRequestLine
from gunicorn.http.errors import ParseException as Broken

from hal0app import errors
from hal0app.api.error_answer import error_answer
from hal0app.api.recording import ID
from hal0app.api.security import protected
from hal0app.api.unread import let_it_read
from hal0app.core import client_head
from hal0app.core.endpoints import PREFIXES
from hal0app.errors import Hal0Error
from hal0app.services.requests import new_id

SEND_S = 5.0
LONGEST = 200
OURS = (InvalidResponseHeader, InvalidResponseHeaderName)  # of an answer that hal0 wanted to send


def told(problem: BaseException) -> Hal0Error:
    """What was wrong, with what to do."""
    what = str(problem)[:LONGEST]
    if isinstance(problem, LimitRequestLine):
        return errors.error("request.uri_too_long", f"the address is too long: {what}")
    if isinstance(problem, LimitRequestHeaders):
        message = f"a header, or all of them together, is larger than hal0 takes: {what}; send a shorter key or cookie"
        return errors.error("request.head_too_large", message)
    if isinstance(problem, Broken) and not isinstance(problem, OURS):
        return errors.error("request.malformed", f"the request is not valid HTTP: {what}")
    return errors.error("system.internal", "an unexpected fault in hal0; its log has the trace")


def refuse(peer: socket.socket, problem: BaseException) -> Hal0Error:
    """Send the answer, and end the connection so that the client can read it."""
    error = told(problem)
    answer = error_answer(error, PREFIXES[0])
    ours = [("Date", formatdate(time.time(), usegmt=True)), ("Connection", "close"), (ID, new_id())]
    head = client_head.write(f"{answer.status} {HTTPStatus(answer.status).phrase}", protected([*answer.headers, *ours]))
    with suppress(OSError):
        peer.settimeout(SEND_S)
        peer.sendall(head + answer.body)
        let_it_read(peer)
    return error
