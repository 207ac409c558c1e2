"""Who uses which resident now: the one owner of in-flight counts, of closed models and of the requests that wait.

A request holds a `Lease` on its model while it runs. A model that is to leave is closed first: nobody gets a new
lease, and when the last one is given back it is drained. A request whose model is not there waits with a `Ticket`;
all tickets of a model are turned into leases in one step when it is loaded, before anybody can choose it as victim.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.residency import Resident


@dataclass(frozen=True)
class Lease:
    """The right to send one request to `resident`; `release` gives it back, once or often."""

    resident: Resident
    release: Callable[[], None]


class Ticket:
    """A request that waits for its model: `done` is set when it has a lease, an error, or was given up."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.done = threading.Event()
        self.lease: Lease | None = None
        self.error: errors.Hal0Error | None = None

    def fail(self, error: errors.Hal0Error) -> None:
        self.error = error
        self.done.set()


class Leases:
    """In-flight counts and tickets per model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._stirred = 0
        self._in_flight: Counter[str] = Counter()
        self._tickets: dict[str, list[Ticket]] = {}
        self._closed: set[str] = set()
        self._dead: dict[str, tuple[str, int | None]] = {}
        self._last_used: dict[str, float] = {}

    def take(self, resident: Resident | None, model: str) -> Lease | Ticket:
        """A lease when `model` may be used as it stands, else a ticket."""
        with self._changed:
            if resident is not None and self._usable(resident):
                return self._lease(resident)
            ticket = Ticket(model)
            self._tickets.setdefault(model, []).append(ticket)
            return ticket

    def _usable(self, resident: Resident) -> bool:
        return resident.model not in self._closed and self._dead.get(resident.model) != resident.address

    def usable(self, resident: Resident) -> bool:
        """Whether requests may be sent to this loading of the model."""
        with self._changed:
            return self._usable(resident)

    def _lease(self, resident: Resident) -> Lease:
        model = resident.model
        given_back: list[bool] = []
        self._in_flight[model] += 1
        self._last_used[model] = self._clock().tick

        def release() -> None:
            with self._changed:
                if given_back:
                    return
                given_back.append(True)
                self._in_flight[model] -= 1
                self._last_used[model] = self._clock().tick
                self._changed.notify_all()

        return Lease(resident, release)

    def withdraw(self, ticket: Ticket) -> None:
        """The request of this ticket is no more: a lease it was just given goes back."""
        with self._changed:
            waiting = self._tickets.get(ticket.model, [])
            if ticket in waiting:
                waiting.remove(ticket)
            lease = ticket.lease
        if lease is not None:
            lease.release()

    def grant(self, resident: Resident) -> int:
        """Open the model and turn all its tickets into leases, at once; the number of them."""
        with self._changed:
            self._closed.discard(resident.model)
            tickets = self._tickets.pop(resident.model, [])
            for ticket in tickets:
                ticket.lease = self._lease(resident)
                ticket.done.set()
            return len(tickets)

    def refuse(self, model: str, error: errors.Hal0Error) -> None:
        """Open the model and fail all its tickets."""
        with self._changed:
            self._closed.discard(model)
            for ticket in self._tickets.pop(model, []):
                ticket.fail(error)

    def close(self, model: str) -> None:
        """No new leases on `model` until `open`, `grant` or `refuse`."""
        with self._changed:
            self._closed.add(model)

    def open(self, model: str) -> None:
        """Give leases on `model` again."""
        with self._changed:
            self._closed.discard(model)

    def drained(self, model: str, wait_s: float, check: Callable[[], None] = lambda: None) -> bool:
        """Wait until nobody holds a lease on `model`; False after `wait_s` seconds.

        `check` raises when the wait is to end; it is asked again after `stir`.
        """
        deadline = self._clock().tick + wait_s
        while True:
            stirred = self._stirred
            check()
            with self._changed:
                while self._in_flight[model] > 0 and stirred == self._stirred:
                    left = deadline - self._clock().tick
                    if left <= 0:
                        return False
                    self._changed.wait(left)
                if self._in_flight[model] == 0:
                    return True

    def stir(self) -> None:
        """Let all who wait for a drain ask again whether they still should."""
        with self._changed:
            self._stirred += 1
            self._changed.notify_all()

    def bury(self, resident: Resident) -> None:
        """This loading of the model is dead, whatever lemond still says of it."""
        with self._changed:
            self._dead[resident.model] = resident.address

    def in_flight(self, model: str | None) -> int:
        """Requests that run on the model now."""
        with self._changed:
            return self._in_flight[model] if model else 0

    def waiting(self, model: str | None) -> int:
        """Requests that wait for the model now."""
        with self._changed:
            return len(self._tickets.get(model or "", ()))

    def wanted(self) -> list[str]:
        """The models that somebody waits for."""
        with self._changed:
            return [model for model, tickets in self._tickets.items() if tickets]

    def last_used(self, model: str) -> float:
        """The tick of the model's last use through hal0; -inf for never."""
        with self._changed:
            return self._last_used.get(model, float("-inf"))
