"""A committed answer on its way to the client, and the trip it made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from urllib.parse import quote

from hal0app.core import headers as http_headers
from hal0app.core import sse
from hal0app.core.headers import Headers
from hal0app.core.request_record import CLIENT_GONE, COMPLETE, UPSTREAM_BROKEN, UPSTREAM_SILENT
from hal0app.core.upstream import Broken, Silent
from hal0app.services.ports import Reply


@dataclass(frozen=True)
class Trip:
    """Where a request went, for the explain headers."""

    slot: str = ""
    model: str = ""
    route: str = "fallback"
    path: str = "lemond"
    queue_ms: int = 0
    load_ms: int | None = None  # the part of it that went into a load, where that is known
    replayed: bool = False

    def headers(self) -> Headers:
        told = {
            "X-Hal0-Slot": self.slot,
            "X-Hal0-Model": self.model,
            "X-Hal0-Route": self.route,
            "X-Hal0-Path": self.path,
            "X-Hal0-Queue-Ms": str(self.queue_ms),
            "X-Hal0-Replayed": "1" if self.replayed else "",
        }
        return [(name, value if value.isascii() else quote(value)) for name, value in told.items() if value]


class Answer:
    """A committed answer: iterate it once for the body, close it always.

    `tap` is given every piece of the body. `on_end` is told once how the relay ended, and its bytes.
    """

    def __init__(self, reply: Reply, head: bytes, body: Iterator[bytes], trip: Trip) -> None:
        self.status = reply.status
        self.headers: Headers = [*http_headers.downwards(reply.headers), *trip.headers()]
        self.streams = http_headers.is_stream(reply.headers)
        self.trip = trip
        self.tap: Callable[[bytes], None] | None = None
        self.on_end: Callable[[str, int], None] | None = None
        self._reply, self._head, self._body = reply, head, body
        self._at_close: list[Callable[[], None]] = []
        self._outcome, self._size = CLIENT_GONE, 0

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once the answer is closed."""
        self._at_close.append(callback)

    def __iter__(self) -> Iterator[bytes]:
        """The body, verbatim. A stream that breaks between two events ends with an error event and no [DONE]."""
        tail = b""
        try:
            for piece in chain((self._head,) if self._head else (), self._body):
                tail = (tail + piece)[-4:]
                self._size += len(piece)
                if self.tap is not None:
                    self.tap(piece)
                yield piece
            self._outcome = COMPLETE
        except (Broken, Silent) as problem:
            self._outcome = UPSTREAM_SILENT if isinstance(problem, Silent) else UPSTREAM_BROKEN
            if not self.streams or not tail.endswith((b"\n\n", b"\r\n\r\n")):
                raise
            yield sse.frame(json.dumps({"error": {**BROKEN, "message": f"the backend stopped answering: {problem}"}}))

    def close(self) -> None:
        """Give back the upstream and the lease; twice is fine."""
        told, self.on_end = self.on_end, None
        try:
            if told is not None:
                told(self._outcome, self._size)
            self._reply.close()
        finally:
            while self._at_close:
                self._at_close.pop()()


BROKEN = {"type": "server_error", "code": "upstream.protocol", "param": None}
