"""The answer to what gunicorn's parser refuses, in the shape of every other error."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    UnsupportedTransferCoding,
)
from gunicorn.http.errors import ParseException as Broken

from hal0app import errors
from hal0app.api.error_answer import error_answer
from hal0app.api.recording import ID
from hal0app.api.security import protected
from hal0app.api.unread import let_it_read
from hal0app.core import client_head
from hal0app.core.endpoints import PREFIXES
from hal0app.errors import Hal0Error
from hal0app.services.request import new_id

SEND_S = 5.0
LONGEST = 200
OURS = (InvalidResponseHeader, InvalidResponseHeaderName)  # of an answer that hal0 wanted to send

# gunicorn's word for what is wrong, the first that fits -> ours.
REFUSALS: tuple[tuple[type[Exception], str, str], ...] = (
    (LimitRequestLine, "request.uri_too_long", "the address is too long: {}"),
    (
        LimitRequestHeaders,
        "request.head_too_large",
        "a header, or all of them together, is larger than hal0 takes: {}; send a shorter key or cookie",
    ),
    (ExpectationFailed, "request.expectation_failed", "{}; hal0 knows 'Expect: 100-continue' only"),
    (UnsupportedTransferCoding, "request.unsupported_transfer_coding", "{}; send the body chunked or with its length"),
    (Broken, "request.malformed", "the request is not valid HTTP: {}"),
)


def told(problem: BaseException) -> Hal0Error:
    """What was wrong, with what to do."""
    what = str(problem)[:LONGEST]
    for kind, code, words in REFUSALS:
        if isinstance(problem, kind) and not isinstance(problem, OURS):
            return errors.error(code, words.format(what))
    return errors.error("system.internal", "an unexpected fault in hal0; its log has the trace")


def refuse(peer: socket.socket, problem: BaseException) -> Hal0Error:
    """Send the answer, and end the connection so that the client can read it."""
    error = told(problem)
    answer = error_answer(error, PREFIXES[0])
    ours = [("Date", formatdate(time.time(), usegmt=True)), ("Connection", "close"), (ID, new_id())]
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    head = client_head.write(status, [*answer.headers, *ours], protected(()))
    with suppress(OSError):
        peer.settimeout(SEND_S)
        peer.sendall(head + answer.body)
        let_it_read(peer)
    return error
