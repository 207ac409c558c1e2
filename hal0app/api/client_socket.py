"""The client's connection during one request: whether it is still there, and signs of life while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import gevent

from hal0app.api.client_socket_watch import Watch, bare
from hal0app.api.security import protected
from hal0app.core import client_head, sse
from hal0app.core.framing import chunk
from hal0app.services.company import Company

STALL_S = 120.0
STREAM = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),  # or a proxy keeps the signs of life to itself
    ("Transfer-Encoding", "chunked"),
)


class ClientSocket:
    """One client during one request; without a `socket` (tests, other servers) nobody ever leaves.

    `modern`: it speaks HTTP/1.1. `closes`: its connection ends with this request. `stall_s`: a client that takes
    nothing of what is sent to it for so long counts as gone. `uploading`: its body is still being read. `id` is the
    request's. `readable`: a watcher of the hub's, lent for the request. `company`: those it is served among. A method
    may be called from any greenlet and none blocks.
    """

    def __init__(
        self,
        socket: Any,
        modern: bool = True,
        closes: bool = False,
        stall_s: float = STALL_S,
        id_: str = "",
        readable: Any = None,
        company: Company | None = None,
    ) -> None:
        self.socket, self.modern, self.closes, self._readable, self._company = socket, modern, closes, readable, company
        self.stall_s, self.id = stall_s, id_
        self.begun = False
        self.gone = self.dismissed = False
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._watch: Watch | None = None
        self._uploading = False
        self._unsent = b""
        self._stuck_since = 0.0
        self._told = time.monotonic()

    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the client leaves or hal0 is about to end, at once when that is so already.

        Returns how to take it back.
        """
        company = self._company
        if company is not None and company.over:
            self.dismissed = True
        if self.gone or self.dismissed:
            callback()
            return lambda: None
        if company is not None:
            company.add(self)
        self._callbacks[id(callback)] = callback
        if self._watch is None and self.socket is not None:
            self._watch = Watch(self.socket, self._left, not self._uploading, self._readable)
        return lambda: self._forget(id(callback))

    def _forget(self, key: int) -> None:
        self._callbacks.pop(key, None)
        if self._callbacks:
            return
        if self._company is not None:
            self._company.discard(self)
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _left(self) -> None:
        """It has left; those who want to know are told on a greenlet, where they may wait for a lock."""
        if self.gone:
            return
        self.gone = True
        gevent.spawn(self._tell, list(self._callbacks.values()))

    def dismiss(self) -> None:
        """hal0 is about to end: those who want to know are told as if the client had left."""
        self.dismissed = self.closes = True
        gevent.spawn(self._tell, list(self._callbacks.values()))

    def _tell(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            callback()

    @property
    def uploading(self) -> bool:
        """Whether the body of the request is being read, or was given up half-way."""
        return self._uploading

    @uploading.setter
    def uploading(self, is_so: bool) -> None:
        self._uploading = is_so
        if self._watch is not None:
            (self._watch.ask if is_so else self._watch.peek)()

    # -- signs of life

    def heartbeat(self, text: str) -> None:
        """Tell a client that waits for a stream how things stand: one comment, the first time behind the head.

        A client of HTTP/1.0 is told nothing: it could not tell chunks from text.
        """
        if self.socket is None or self.gone or not self.modern:
            return
        self._told = time.monotonic()
        comment = chunk(sse.comment(text))
        if not self.begun:
            self.begun = True
            comment = self._stream_head() + comment
        elif self._unsent:
            comment = b""  # it reads slowly enough without more to read
        self._send(comment)

    @property
    def silent_s(self) -> float:
        """Seconds since it was last told something, or else since it asked."""
        return time.monotonic() - self._told

    def _stream_head(self) -> bytes:
        ours = [("Date", formatdate(time.time(), usegmt=True))]
        if self.id:
            ours.append(("X-Request-Id", self.id))
        if self.closes:
            ours.append(("Connection", "close"))
        return client_head.write("200 OK", ours, protected(STREAM))

    def beating(self, words: Callable[[], str], first_s: float, every_s: float) -> Callable[[], None]:
        """Give a sign of life after `first_s` seconds and every `every_s` from then on; returns how to end that."""
        if self.socket is None:
            return lambda: None
        timer = gevent.get_hub().loop.timer(first_s, every_s)
        timer.start(lambda: self.heartbeat(words()))
        end: Callable[[], None] = timer.close
        return end

    def _send(self, more: bytes) -> None:
        stuck = bool(self._unsent)
        data = self._unsent + more
        try:
            sent = bare(self.socket).send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._left()
            return
        self._unsent = data[sent:]
        if not stuck or sent:
            self._stuck_since = time.monotonic()
        elif time.monotonic() - self._stuck_since > self.stall_s:
            self._left()

    def take_unsent(self) -> bytes:
        """What of the signs of life has not been taken yet; whoever sends next sends it first."""
        unsent, self._unsent = self._unsent, b""
        return unsent
