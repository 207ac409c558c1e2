"""Who uses which resident now: the one owner of places, in-flight counts, closed models and of the requests that wait.

A request holds a `Lease` on its model while it runs. A model has as many places as it was loaded with; who finds none
waits with a `Ticket`, and so does who finds no model. A model that is to leave is closed first: nobody gets a place,
and when the last lease is given back it is drained.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.fair_queue import ANYONE, Caller
from hal0app.core.residency import Resident
from hal0app.services.lease import Lease
from hal0app.services.line import Line, Ticket

UNMEASURED_S = 10.0  # what a request is taken to last before one has ended
LONGEST_RETRY_S = 600


class Terms(msgspec.Struct, frozen=True):
    """`places` for requests that run at once, and how many more may wait in the `queue`."""

    places: int = 1
    queue: int = 64


DEFAULT = Terms()


class Leases:
    """The lines of all models. Nothing here takes longer than a lock and a queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._watching = 0  # who waits for a change: mostly nobody, and telling nobody is not free
        self._stirred = 0
        self._lines: dict[str, Line] = {}

    def _line(self, model: str) -> Line:
        line = self._lines.get(model)
        if line is None:
            line = self._lines[model] = Line()
        return line

    # -- requests

    def take(
        self, resident: Resident | None, model: str, terms: Terms = DEFAULT, caller: Caller = ANYONE
    ) -> Lease | Ticket:
        """A lease when `model` has a place free and nobody waits for it, else a ticket.

        Raises `slot.busy` when the queue is full; a replay always finds room, and the place that is kept for it.
        """
        tick = self._clock().tick
        with self._changed:
            line = self._line(model)
            own = caller.lost in line.kept
            if own:
                line.kept.remove(caller.lost)
            if resident is None:
                line.forget(tick)
            elif line.usable(resident):
                line.use(resident, terms.places, tick)
                if line.free > 0 and (own or not line.queue):
                    return self._lease(line, resident, tick)
            if line.current is None:
                line.places = terms.places
            if not caller.replays and len(line.queue) >= terms.queue + max(line.free, 0):
                raise self._busy(model, line)
            ticket = Ticket(model, caller, tick)
            ticket.unloaded = None if line.serving else tick
            line.queue.put(ticket, caller)
            self._fill(line, tick)
            return ticket.lease or ticket

    def _busy(self, model: str, line: Line) -> errors.Hal0Error:
        waiting = len(line.queue)
        message = f"'{model}' has {waiting} requests waiting, as many as its slot's queue holds; try again later"
        return errors.error("slot.busy", message, retry_after=_seconds(line.eta_s(waiting + 1)), queued=waiting)

    def _lease(self, line: Line, resident: Resident, tick: float) -> Lease:
        line.in_flight += 1
        line.held[resident.address] += 1
        line.last_used = tick
        return Lease(self, resident, tick)

    def end(self, lease: Lease, hand_over: bool = True, returns: bool = False) -> None:
        """The request of this lease has ended; the next gets its place, unless told otherwise.

        With `returns`, a place is kept for it until its replay asks for one, or `unreserve`.
        """
        tick = self._clock().tick
        with self._changed:
            if lease.over:
                return
            lease.over = True
            line, address = self._lines[lease.resident.model], lease.resident.address
            line.in_flight -= 1
            line.held[address] -= 1
            if not line.held[address]:
                del line.held[address]
            line.last_used = tick
            if returns:
                line.kept.add(lease)
            if hand_over:
                line.measure(tick - lease.begun)
                self._fill(line, tick)
            self._tell()

    def _fill(self, line: Line, tick: float) -> None:
        while (ticket := line.next()) is not None:
            assert line.current is not None
            lease = self._lease(line, line.current, tick)
            lease.queue_s, lease.load_s = ticket.waited(tick)
            ticket.lease = lease
            ticket.done.set()

    def unreserve(self, lost: Lease) -> None:
        """The request that had this lease will not be sent again to its model."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(lost.resident.model)
            line.kept.discard(lost)
            self._fill(line, tick)

    def withdraw(self, ticket: Ticket) -> tuple[float, float]:
        """The request of this ticket is no more: a lease it was just given goes to the next.

        How long it has waited for a place and for a load, in seconds.
        """
        tick = self._clock().tick
        with self._changed:
            line = self._line(ticket.model)
            if line.queue.remove(ticket, ticket.caller):
                line.owed = min(line.owed, len(line.queue))
            self._tell()
            lease = ticket.lease
        if lease is not None:
            lease.release()
        return ticket.waited(tick)

    def position(self, ticket: Ticket) -> int:
        """How many are served until this one is, itself included; 0 when it waits no more."""
        with self._changed:
            return next((place for place, one in enumerate(self._line(ticket.model).queue, 1) if one is ticket), 0)

    def retry_s(self, ticket: Ticket) -> int:
        """In how many whole seconds a place may be expected for one who waits where this ticket does."""
        position = self.position(ticket)
        with self._changed:
            return _seconds(self._line(ticket.model).eta_s(max(position, 1)))

    # -- loadings

    def offer(self, resident: Resident, terms: Terms = DEFAULT) -> None:
        """This loading was seen: those who wait may use it."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(resident.model)
            if line.usable(resident):
                line.use(resident, terms.places, tick)
                line.arrive(tick)
                self._fill(line, tick)

    def grant(self, resident: Resident, terms: Terms = DEFAULT) -> None:
        """Open the model and give its places to those who wait, at once, before anybody can choose it as victim."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(resident.model)
            line.closed = False
            line.use(resident, terms.places, tick)
            line.arrive(tick)
            self._fill(line, tick)
            self._tell()

    def refuse(self, model: str, error: errors.Hal0Error) -> None:
        """Open the model and fail all its tickets."""
        with self._changed:
            line = self._line(model)
            line.closed, line.owed = False, 0
            while line.queue:
                line.queue.take().fail(error)
            self._tell()

    def close(self, model: str) -> None:
        """No new leases on `model` until `open`, `left`, `grant` or `refuse`."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(model)
            line.closed = True
            line.depart(tick)

    def open(self, model: str) -> None:
        """Give leases on `model` again, to those who wait first."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(model)
            line.closed = False
            if line.current is not None:
                line.arrive(tick)
            self._fill(line, tick)

    def left(self, model: str) -> None:
        """The model was unloaded: its next loading is another one."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(model)
            line.closed = False
            line.forget(tick)

    def bury(self, resident: Resident) -> None:
        """This loading of the model is dead, whatever lemond still says of it."""
        tick = self._clock().tick
        with self._changed:
            line = self._line(resident.model)
            line.dead = resident.address
            if line.current is not None and line.current.address == resident.address:
                line.forget(tick)

    def usable(self, resident: Resident) -> bool:
        """Whether requests may be sent to this loading of the model."""
        with self._changed:
            return self._line(resident.model).usable(resident)

    # -- leaving

    def drained(self, model: str, wait_s: float, check: Callable[[], None] = lambda: None) -> bool:
        """Wait until nobody holds a lease on `model`; False after `wait_s` seconds.

        `check` raises when the wait is to end; it is asked again after `stir`.
        """
        line = self._line(model)
        deadline = self._clock().tick + wait_s
        while True:
            stirred = self._stirred
            check()
            with self._changed:
                while line.in_flight > 0 and stirred == self._stirred:
                    left = deadline - self._clock().tick
                    if left <= 0:
                        return False
                    self._watch(left)
                if line.in_flight == 0:
                    return True

    def stir(self) -> None:
        """Let all who wait for a drain ask again whether they still should."""
        with self._changed:
            self._stirred += 1
            self._tell()

    def holds_off(self, model: str, rival: str, patience_s: float) -> bool:
        """Whether `model` must not leave for `rival` yet.

        It serves those who wait for it until the oldest who waits for the rival has done so for `patience_s` seconds;
        as many as waited when it was loaded, until the rival's oldest has waited twice as long since then, or the two
        would displace each other for ever.
        """
        tick = self._clock().tick
        with self._changed:
            line = self._line(model)
            oldest = min((one.asked for one in self._line(rival).queue), default=tick)
            turn_s = tick - max(oldest, line.since)
            return (line.owed > 0 and turn_s < 2 * patience_s) or (len(line.queue) > 0 and tick - oldest < patience_s)

    def changes(self, within_s: float) -> None:
        """Wait until a lease is given back, a ticket withdrawn or somebody stirs, at most so long."""
        with self._changed:
            self._watch(within_s)

    def _watch(self, within_s: float) -> None:
        self._watching += 1
        try:
            self._changed.wait(within_s)
        finally:
            self._watching -= 1

    def _tell(self) -> None:
        if self._watching:
            self._changed.notify_all()

    # -- counts

    def in_flight(self, model: str | None) -> int:
        """Requests that run on the model now."""
        line = self._lines.get(model or "")
        return line.in_flight if line else 0

    def waiting(self, model: str | None) -> int:
        """Requests that wait for the model now."""
        line = self._lines.get(model or "")
        return len(line.queue) if line else 0

    def serving(self, model: str) -> bool:
        """Whether places on the model are given out."""
        with self._changed:
            return self._line(model).serving

    def wanted(self) -> list[str]:
        """The models that somebody waits for."""
        with self._changed:
            return [model for model, line in self._lines.items() if line.queue]

    def stranded(self) -> list[str]:
        """The models that somebody waits for and whose places nobody will hand over: they have to be loaded or seen."""
        with self._changed:
            waited_for = [(model, line) for model, line in self._lines.items() if line.queue and not line.closed]
            return [model for model, line in waited_for if line.current is None or not line.held[line.current.address]]

    def last_used(self, model: str) -> float:
        """The tick of the model's last use through hal0; -inf for never."""
        line = self._lines.get(model)
        return line.last_used if line else float("-inf")

    def recency(self, model: str) -> float:
        """What the choice of a victim goes by: the last use, but a model in use comes after all others, and after
        those that fewer wait for."""
        line = self._lines.get(model)
        if line is None or not (line.in_flight or line.queue):
            return self.last_used(model)
        tick = self._clock().tick
        return tick * (1 + len(line.queue)) + max(line.last_used, 0.0)


def _seconds(eta_s: float | None) -> int:
    return max(1, min(LONGEST_RETRY_S, round(UNMEASURED_S if eta_s is None else eta_s)))
