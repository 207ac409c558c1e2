"""The first-event commit: an answer is promised when its first bytes are known good, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hal0app import errors
from hal0app.core import backend_error, sse
from hal0app.core import headers as http_headers
from hal0app.core.dialect import Dialect
from hal0app.core.openai import answered_by
from hal0app.core.upstream import Aborted, Broken, Garbled, Silent
from hal0app.services import refusal
from hal0app.services.answer import Answer, Trip
from hal0app.services.jobs import stopping
from hal0app.services.ports import Call, Client, Reply

FIRST_EVENT_BYTES = 1 << 20


def nobody(told: str) -> bool:
    """No model's name in an answer is a stranger's."""
    return False


class ModelGone(Exception):
    """The model was not there when the request reached it. `proof` is evidence of a crash, where there is some."""

    def __init__(self, proof: str | None = None) -> None:
        super().__init__(proof or "model not loaded")
        self.proof = proof


class NotReady(Exception):
    """The backend is there and still loads its model."""


def committed(
    call: Call,
    client: Client,
    trip: Trip,
    dialect: Dialect,
    judge: bool = True,
    stranger: Callable[[str], bool] = nobody,
) -> Answer:
    """Wait for the head and, if it can tell a lost model, for the first event; the client may leave meanwhile.

    `judge`: the answer may tell that the model is gone (ModelGone) or still loads (NotReady).
    """
    forget = client.on_gone(call.abort)
    reply: Reply | None = None
    try:
        reply = call.reply()
        body = iter(reply.chunks())
        head = _first_event(reply, body, stranger if trip.path == "direct" else nobody) if judge else b""
        reply, head, body = refusal.told(reply, head, body, dialect)
        answer = Answer(reply, head, body, trip)
    except BaseException as problem:
        forget()
        if reply is not None:
            reply.close()
        if judge and isinstance(problem, Broken) and not isinstance(problem, Garbled):
            raise ModelGone(str(problem)) from problem
        if isinstance(problem, Aborted | Broken | Silent):
            raise failure(problem, client) from problem
        raise
    answer.on_close(forget)
    return answer


def _first_event(reply: Reply, body: Iterator[bytes], stranger: Callable[[str], bool]) -> bytes:
    """The bytes up to and with the first event (of JSON: the body up to a bound).

    Raises ModelGone when they tell that the model is not there, or that a `stranger` has answered.
    """
    read, kind = b"", http_headers.kind(http_headers.sized(reply.headers)[0])
    if reply.status >= 400:
        while len(read) < FIRST_EVENT_BYTES and (piece := next(body, b"")):
            read += piece
        _judge(read.decode("utf-8", "replace"), reply.status)
    elif kind.startswith(http_headers.STREAM):
        told = None
        while told is None and len(read) < FIRST_EVENT_BYTES and (piece := next(body, b"")):
            read += piece
            told = sse.first_data(read)
        _judge(told or "")
    elif kind.startswith("application/json"):
        while len(read) < FIRST_EVENT_BYTES and (piece := next(body, b"")):
            read += piece
    if stranger is not nobody and (told_by := answered_by(read)) is not None and stranger(told_by):
        raise ModelGone("another model answers at its address")
    return read


def _judge(text: str, status: int = 200) -> None:
    error = sse.failure(text.strip())
    if error is not None and sse.replayable(error):
        raise ModelGone
    if error is not None and backend_error.is_loading(status, error):
        raise NotReady


def failure(problem: Exception, client: Client) -> errors.Hal0Error:
    """What the client is told of an exchange that came to nothing."""
    if isinstance(problem, Aborted) and client.dismissed:
        return stopping()
    if isinstance(problem, Aborted):
        return errors.error("client.gone", "the client closed its connection")
    code = "upstream.timeout" if isinstance(problem, Silent) else "upstream.protocol"
    return errors.error(code, f"the backend did not answer properly: {problem}")
