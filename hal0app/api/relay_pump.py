"""Moves the body of an answer from the upstream's socket to the client's, by callbacks in gevent's hub.

A piece costs one recv and one send, and no switch of greenlets. A client that reads slowly stops the reading from the
upstream, so that at most one piece is held. The request's own greenlet sleeps until the end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter

from hal0app.api.client_socket import ClientSocket
from hal0app.api.client_socket_watch import bare
from hal0app.core.downstream import Form
from hal0app.core.ending import Ending
from hal0app.core.framing import Malformed
from hal0app.core.upstream import SILENCE_S
from hal0app.services.answer import Answer
from hal0app.services.ports import RawReply

log = logging.getLogger(__name__)

READ_BYTES = 65536
LOOKS_PER_LIMIT = 16
READABLE, WRITABLE = 1, 2
TAPLESS = "a tap failed and is left out from here on"


class Pump:
    """One body. After `run`, `intact` tells whether what the client was sent is a whole HTTP message."""

    __slots__ = (
        *("_answer", "_client", "_ended", "_form", "_framing", "_leaving", "_loop", "_moved", "_passes", "_pending"),
        *("_place", "_read", "_recv", "_repeats", "_reply", "_send_down", "_sent", "_silence_s", "_tap", "_then"),
        *("_timer", "_waiter", "_write", "intact"),
    )

    def __init__(
        self, answer: Answer, reply: RawReply, client: ClientSocket, form: Form, silence_s: float = SILENCE_S
    ) -> None:
        self._answer, self._reply, self._client, self._form = answer, reply, client, form
        self._silence_s = silence_s
        self.intact = False
        self._tap: Callable[[bytes], object] = answer.tap or _nothing
        self._repeats: Callable[[bytes], int] = _nothing
        self._sent = 0
        self._loop = get_hub().loop
        self._recv, self._send_down = bare(reply.connection).recv, bare(client.socket).send
        self._read: Any = None
        self._write: Any = None
        self._timer: Any = None
        self._waiter: Any = None
        self._pending = memoryview(b"")
        self._place, self._moved = (0, 0), 0.0  # how far it was when the clock was looked at, and since when
        self._then: Ending | None = None  # how it ends once everything pending is sent
        self._ended: Ending | None = None
        self._leaving = False  # hal0 is about to end, and this body at the next place where that can be told

    def run(self, lead: bytes) -> Ending:
        """Send `lead` (the head, mostly) and the body after it; returns how that ended."""
        passed = self._reply.passed() if self._form.as_it_comes else None
        first = self._reply.rewind() if passed is None else b""
        self._framing = self._reply.framing
        self._passes = self._framing.passes if self._form.verbatim else _nothing
        self._repeats = self._answer.repeats if self._form.verbatim else _nothing
        try:
            if passed is None:
                self._begin(lead, first)
            else:
                self._go_on(lead, passed)
            if self._ended is None:
                self._wait()
        finally:
            self._close()
            self._answer.sent = self._sent
        assert self._ended is not None
        return self._ended

    def _wait(self) -> None:
        self._waiter = Waiter()
        forget = self._client.on_gone(self._gone)
        try:
            self._waiter.get()
        finally:
            forget()

    def _go_on(self, lead: bytes, passed: bytes) -> None:
        """Send what the framing has passed already; nobody waits for the tap, but somebody for the first token."""
        if self._client.gone:
            self._end(Ending.CLIENT_GONE)
            return
        self._sent += len(passed)
        if self._framing.done:
            self._complete(lead + passed)
        else:
            self._send(lead + passed)
        if passed:
            self._show(passed)
        self._watch()

    def _begin(self, lead: bytes, first: bytes) -> None:
        if self._client.gone:
            self._end(Ending.CLIENT_GONE)
        elif self._framing.done:
            self._complete(lead)
        elif first:
            self._pass(first, lead)
        else:
            self._send(lead)
        self._watch()

    def _watch(self) -> None:
        if self._ended is None:
            period = min(self._silence_s, self._client.stall_s) / LOOKS_PER_LIMIT
            self._place, self._moved = self._how_far(), self._loop.now()
            self._timer = self._loop.timer(period, period)
            self._timer.start(self._look_at_the_clock)
            if not self._pending:
                self._start_reading()

    def _start_reading(self) -> None:
        if self._read is None:
            self._read = self._loop.io(self._reply.connection.fileno(), READABLE)
        self._read.start(self._readable)

    def _close(self) -> None:
        for watcher in (self._read, self._write, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()

    # -- from the upstream

    def _readable(self) -> None:
        # Python is slow to call what an attribute holds, and a function of our own is not free.
        recv, repeats, send = self._recv, self._repeats, self._send_down
        try:
            try:
                piece = recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError as problem:
                self._break_off(Ending.UPSTREAM_BROKEN, problem)
                return
            size = repeats(piece)
            if not size:
                self._take(piece)
                return
            self._sent += size
            try:
                sent = send(piece)
            except OSError:
                sent = 0  # what it was is told by the next attempt
            if sent < size:
                self._send(piece[sent:])
        except Exception:  # in the hub it would only be printed, and the client would wait for ever
            log.exception("the relay of an answer failed unexpectedly")
            self._end(Ending.UPSTREAM_BROKEN)

    def _take(self, piece: bytes) -> None:
        if self._passes(piece):
            self._show(piece)
            self._sent += len(piece)
            self._send(piece)
        elif piece:
            self._pass(piece)
        elif not self._reply.aborted and self._framing.ended():
            self._complete(b"")
        else:
            self._break_off(Ending.UPSTREAM_BROKEN, "its connection was closed in the middle")

    def _pass(self, piece: bytes, lead: bytes = b"") -> None:
        framing = self._framing
        place = framing.boundary, framing.tail
        try:
            spans = framing.feed(piece)
        except Malformed as problem:  # nothing of the piece is sent
            framing.boundary, framing.tail = place
            self._break_off(Ending.UPSTREAM_BROKEN, problem, lead)
            return
        self._show(piece if framing.used == len(piece) else piece[: framing.used])
        sent = self._form.encode(piece, spans, framing)
        self._sent += framing.used
        if framing.done:
            self._complete(lead + sent)
        elif lead or sent:
            self._send(lead + sent if lead else sent)
        if self._leaving:
            self._leave()

    def _show(self, piece: bytes) -> None:
        tap = self._tap
        try:
            tap(piece)
        except Exception:
            log.exception(TAPLESS)
            self._tap = self._repeats = _nothing

    def _complete(self, rest: bytes) -> None:
        self._then, self.intact = Ending.COMPLETE, True
        self._stop_reading()
        self._send(rest + self._form.last)

    def _break_off(self, ending: Ending, problem: object, lead: bytes = b"") -> None:
        """The upstream failed: tell the client so where something may be put in, else leave its message cut."""
        if self._client.gone:
            self._end(Ending.CLIENT_GONE)
            return
        told = None
        if self._answer.breaks_well(self._framing.tail):
            answer = self._answer
            event = answer.stopped() if ending is Ending.STOPPED else answer.broken(problem)
            told = self._form.event(event, self._framing.boundary)
        self._then, self.intact = ending, told is not None and self._form.delimited
        self._stop_reading()
        self._send(lead + (told or b""))

    def _stop_reading(self) -> None:
        if self._read is not None:
            self._read.stop()

    # -- to the client

    def _send(self, data: bytes) -> None:
        send = self._send_down
        try:
            sent = send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(Ending.CLIENT_GONE)
            return
        if sent < len(data):
            self._hold(memoryview(data)[sent:])
        elif self._then is not None:
            self._end(self._then)

    def _hold(self, rest: memoryview) -> None:
        """Read no more before the client has taken the `rest`."""
        self._pending = rest
        self._stop_reading()
        if self._write is None:
            self._write = self._loop.io(self._client.socket.fileno(), WRITABLE)
        self._write.start(self._writable)

    def _writable(self) -> None:
        try:
            sent = self._send_down(self._pending)
        except BlockingIOError:
            return
        except OSError:
            self._end(Ending.CLIENT_GONE)
            return
        self._pending = self._pending[sent:]
        if self._pending:
            return
        self._write.stop()
        if self._then is not None:
            self._end(self._then)
            return
        if self._leaving:
            self._leave()
        if self._then is None:
            self._start_reading()

    # -- the end

    def _how_far(self) -> tuple[int, int]:
        return self._sent, len(self._pending)

    def _look_at_the_clock(self) -> None:
        place, now = self._how_far(), self._loop.now()
        if place != self._place:
            self._place, self._moved = place, now
            return
        limit = self._client.stall_s if self._pending else self._silence_s
        if now - self._moved >= limit:
            if self._pending:
                self._end(Ending.CLIENT_STALLED)
            else:
                self._break_off(Ending.UPSTREAM_SILENT, f"it was silent for {limit:g} s")

    def _gone(self) -> None:
        """Called on a greenlet of its own; the end is to be told in the hub."""
        self._loop.run_callback(self._left)

    def _left(self) -> None:
        if self._client.gone or not self._client.dismissed:
            self._end(Ending.CLIENT_GONE)
        elif self._ended is None:
            self._leaving = True
            self._passes = self._repeats = _nothing
            self._leave()

    def _leave(self) -> None:
        """End a stream between two events, another body anywhere; not yet while that cannot be told."""
        if self._ended is not None or self._then is not None or self._pending:
            return
        answer, framing, form = self._answer, self._framing, self._form
        between = answer.breaks_well(framing.tail) and (framing.boundary or not form.verbatim)
        if between or not answer.streams or form.event(b"", True) is None:
            self._break_off(Ending.STOPPED, "")

    def _end(self, ending: Ending) -> None:
        if self._ended is not None:
            return
        self._ended = ending
        self.intact = self.intact and ending is self._then
        for watcher in (self._read, self._write, self._timer):
            if watcher is not None:
                watcher.stop()
        if self._waiter is not None:
            self._waiter.switch(None)


def _nothing(piece: bytes) -> bool:
    return False
