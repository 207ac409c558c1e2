"""A committed answer on its way to the client, and the trip it made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote

from hal0app.core import headers as http_headers
from hal0app.core import sse, stream_error
from hal0app.core.ending import Ending
from hal0app.core.headers import Header, Headers
from hal0app.core.upstream import Broken, Silent
from hal0app.services.ports import Reply
from hal0app.services.refusal import Refusal

log = logging.getLogger(__name__)


class Trip(NamedTuple):
    """Where a request went, for the explain headers."""

    slot: str = ""
    model: str = ""
    route: str = "fallback"
    path: str = "lemond"
    queue_ms: int = 0  # it waited for a place
    load_ms: int = 0  # it waited for its model
    replayed: bool = False

    def by(self, path: str) -> Trip:
        """The same with another path."""
        return Trip(self.slot, self.model, self.route, path, self.queue_ms, self.load_ms, self.replayed)

    def headers(self) -> Headers:
        return list(_headers(self))


@lru_cache(maxsize=64)
def _headers(trip: Trip) -> tuple[tuple[str, str], ...]:
    told = (
        ("X-Hal0-Slot", trip.slot),
        ("X-Hal0-Model", trip.model),
        ("X-Hal0-Route", trip.route),
        ("X-Hal0-Path", trip.path),
        ("X-Hal0-Queue-Ms", str(trip.queue_ms)),
        ("X-Hal0-Load-Ms", str(trip.load_ms)),
        ("X-Hal0-Replayed", "1" if trip.replayed else ""),
    )
    return tuple((name, text if _is_plain(text) else quote(text)) for name, text in told if text)


@lru_cache(maxsize=64)
def _usual(told: tuple[Header, ...], trip: Trip) -> tuple[Header, ...]:
    return (*http_headers.downwards(told), *_headers(trip))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _never(piece: bytes) -> int:
    return 0


class Answer:
    """A committed answer: iterate it once for the body, or take over its `reply`; `finish` or close it always.

    `tap` is given every piece of the body as the upstream sent it, chunk framing and all, and must be quick. `repeats`
    may be asked before: what it gives a length for is one whole chunk, and the tap has seen it. `on_end`
    is told once how the relay ended and how many bytes of the body were passed on (as the upstream framed them;
    iterated: without framing). `endpoint` is what follows /v1/, where it is known. Of its headers the `usual` ones are
    the same for most answers, unlike the `length`.
    """

    def __init__(self, reply: Reply, head: bytes, body: Iterator[bytes], trip: Trip) -> None:
        told, self.length = http_headers.sized(reply.headers)
        self.status, self.usual = reply.status, _usual(told, trip)
        self.streams = http_headers.is_stream(told)
        self.trip = trip
        self.endpoint = ""
        self.tap: Callable[[bytes], None] | None = None
        self.repeats: Callable[[bytes], int] = _never
        self.on_end: Callable[[Ending, int], None] | None = None
        self.sent = 0
        self.reply, self.head = reply, head
        self._body = body
        self._ending = Ending.CLIENT_GONE
        self._at_close: list[Callable[[], None]] = []

    @property
    def headers(self) -> Headers:
        """All headers that come from the upstream, and those that explain."""
        return [*self.usual, *self.length]

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once the answer is closed."""
        self._at_close.append(callback)

    @property
    def in_memory(self) -> bool:
        """Whether the body was made here, so that there is no connection to take over."""
        return isinstance(self.reply, Refusal)

    def __iter__(self) -> Iterator[bytes]:
        """The body, decoded. A stream that breaks between two events ends with an error event and no [DONE]."""
        self.reply.to_tap(self.tap)
        tail = self.head[-4:]
        try:
            for piece in chain([self.head] if self.head else [], self._body):
                tail = (tail + piece)[-4:]
                self.sent += len(piece)
                yield piece
            self._ending = Ending.COMPLETE
        except (Broken, Silent) as problem:
            self._ending = Ending.UPSTREAM_SILENT if isinstance(problem, Silent) else Ending.UPSTREAM_BROKEN
            if not self.breaks_well(tail):
                raise
            yield self.broken(problem)

    def breaks_well(self, tail: bytes) -> bool:
        """Whether a body whose last bytes are `tail` is a stream between two events."""
        return self.streams and (not tail or tail.endswith(sse.BLANK_LINES))

    def broken(self, problem: object) -> bytes:
        """The event that tells the client of an upstream that broke off."""
        return stream_error.event(self.endpoint, stream_error.broken(f"the backend stopped answering: {problem}"))

    def stopped(self) -> bytes:
        """The event that tells the client that hal0 is about to end."""
        return stream_error.event(self.endpoint, stream_error.stopped(), 503)

    def finish(self, ending: Ending) -> None:
        """It ended so; give back the upstream and the lease. Only the first call counts."""
        self._ending = ending
        self.close()

    def close(self) -> None:
        """Give back the upstream and the lease; twice is fine."""
        told, self.on_end = self.on_end, None
        try:
            if told is not None:
                told(self._ending, self.sent)
        except Exception:
            log.exception("the end of an answer could not be told")
        finally:
            self._give_back()

    def _give_back(self) -> None:
        try:
            self.reply.close()
        finally:
            while self._at_close:
                self._at_close.pop()()
