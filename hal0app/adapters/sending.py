"""Sending a request over a socket, with an eye on an answer that comes before all of it is through."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Iterator

from hal0app.adapters.connections import quiet
from hal0app.core.framing import LAST_CHUNK, chunk
from hal0app.core.upstream import Aborted

ANSWERED = select.POLLIN | select.POLLHUP | select.POLLERR


def send(connection: socket.socket, data: bytes) -> bool:
    """Send all of `data`; False when the other side answers, or hangs up, before it has heard everything.

    Raises TimeoutError when it takes nothing for as long as the socket's own time limit, and OSError.
    """
    sent = connection.send(data)
    if sent == len(data):
        return True
    view = memoryview(data)[sent:]
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLOUT)
    limit_ms = int((connection.gettimeout() or 0) * 1000) or None
    while view:
        told = poll.poll(limit_ms)
        if not told:
            raise TimeoutError("it takes nothing of the request")
        if told[0][1] & ANSWERED:
            return False
        view = view[connection.send(view) :]
    return True


def send_pieces(connection: socket.socket, pieces: Iterable[bytes], chunked: bool) -> bool:
    """Send a body as it comes; False as for `send`. A failure of the source itself is Aborted: it was the client's.

    An empty piece is nothing to send, but a time to see whether the other side has answered.
    """
    source = _from_the_client(pieces)
    while (piece := _next(source, connection)) is not None:
        if not quiet(connection) or (piece and not send(connection, chunk(piece) if chunked else piece)):
            return False
    return quiet(connection) and (not chunked or send(connection, LAST_CHUNK))


def _next(source: Iterator[bytes], connection: socket.socket) -> bytes | None:
    """The next piece; None at the end, and when the source gives up while an answer is there already."""
    try:
        return next(source, None)
    except Aborted:
        raise
    except Exception:
        if quiet(connection):
            raise
        return None


def _from_the_client(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as problem:
        raise Aborted(repr(problem)) from problem
