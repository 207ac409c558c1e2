"""A backend's error on its way to the client, in the words of the endpoint's dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hal0app.core import backend_error, sse
from hal0app.core import headers as http_headers
from hal0app.core.dialect import Dialect
from hal0app.services.ports import Reply

READ_BYTES = 1 << 20  # of an error's body; a longer one is no error message and passes as it is
OF_THE_BODY = frozenset({"content-type", "content-length", "cache-control"})


class Refusal:
    """A reply that says the same as `reply` with another status and body; the body is read already."""

    def __init__(self, reply: Reply, status: int, body: bytes) -> None:
        kept = [(name, value) for name, value in reply.headers if name.lower() not in OF_THE_BODY]
        self.status = status
        self.headers = [*kept, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        self._reply, self._body = reply, body

    def chunks(self) -> Iterator[bytes]:
        """What follows what was read: nothing."""
        return iter(())

    def to_tap(self, tap: Callable[[bytes], None] | None) -> None:
        """Show it what passes, which is all read already."""
        if tap is not None:
            tap(self._body)

    def close(self) -> None:
        """Give up the reply it was made of."""
        self._reply.close()


def told(reply: Reply, head: bytes, body: Iterator[bytes], dialect: Dialect) -> tuple[Reply, bytes, Iterator[bytes]]:
    """The reply, what was read of it and what follows: as it was, or an error in the dialect's shape.

    An error that is a stream's first event becomes an answer with a status of its own.
    """
    if (reply.status < 400 and b'"error"' not in head) or http_headers.value(reply.headers, "content-encoding"):
        return reply, head, body
    if reply.status >= 400:
        while len(head) < READ_BYTES and (piece := next(body, b"")):
            head += piece
        status, raw = reply.status, head
    else:
        text = sse.first_data(head) if http_headers.is_stream(reply.headers) else None
        error = sse.failure(text or "")
        if text is None or error is None:
            return reply, head, body
        status, raw = backend_error.status_of(error), text.encode()
        reply, head, body = Refusal(reply, status, raw), raw, iter(())
    if len(raw) >= READ_BYTES:
        return reply, head, body
    meant = backend_error.meant(status, raw)
    change = backend_error.normalised if meant == status else backend_error.restated
    better = change(meant, raw, dialect)
    return (reply, head, body) if better is None else (Refusal(reply, meant, better), better, iter(()))
