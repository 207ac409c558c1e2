"""One model's line: its places, who holds one, and who waits for one. `Leases` guards it with its lock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from hal0app.core.fair_queue import ANYONE, Caller, FairQueue
from hal0app.core.residency import Resident
from hal0app.errors import Hal0Error
from hal0app.services.lease import Lease

Address = tuple[str, int | None]
NEW = 0.3  # the weight of the newest request in the mean of how long one takes


class Ticket:
    """A request that waits: `done` is set when it has a lease, an error, or was given up. Times are ticks."""

    def __init__(self, model: str, caller: Caller = ANYONE, asked: float = 0.0) -> None:
        self.model, self.caller, self.asked = model, caller, asked
        self.done = threading.Event()
        self.lease: Lease | None = None
        self.error: Hal0Error | None = None
        self.unloaded: float | None = None  # since when it has waited for a load rather than for a place
        self.load_s = 0.0

    def waited(self, tick: float) -> tuple[float, float]:
        """How long it has waited until now for a place, and for a load, in seconds."""
        load_s = self.load_s + (tick - self.unloaded if self.unloaded is not None else 0.0)
        return max(0.0, tick - self.asked - load_s), load_s

    def fail(self, error: Hal0Error) -> None:
        """End the wait with an error."""
        self.error = error
        self.done.set()


@dataclass
class Line:
    """`places` are those of the loading at `current`, which is None while requests are not given to any."""

    places: int = 1
    queue: FairQueue[Ticket] = field(default_factory=FairQueue)
    held: Counter[Address] = field(default_factory=Counter)  # requests that run, by the loading they were given to
    in_flight: int = 0
    current: Resident | None = None
    closed: bool = False
    dead: Address | None = None
    last_used: float = float("-inf")
    service_s: float | None = None  # how long a request takes, a moving mean
    kept: set[Hashable] = field(default_factory=set)  # the lost leases of requests that will be sent again
    owed: int = 0  # how many are to be served before the model may be made to leave
    since: float = float("-inf")  # the tick from which requests were given to the loading at `current`

    def usable(self, resident: Resident) -> bool:
        """Whether requests may be given to this loading."""
        return not self.closed and self.dead != resident.address

    @property
    def serving(self) -> bool:
        """Whether requests are given to a loading."""
        return not self.closed and self.current is not None

    @property
    def free(self) -> int:
        """Places that nobody holds and none is kept for; while there is no loading, nobody holds any."""
        held = self.held[self.current.address] if self.serving and self.current else 0
        return self.places - held - len(self.kept)

    def use(self, resident: Resident, places: int, tick: float) -> None:
        """Give requests to this loading from now on. For a new one, all who wait are owed a place."""
        if self.current is not None and self.current.address == resident.address:
            return
        self.current, self.places, self.owed, self.since = resident, places, len(self.queue), tick
        self.arrive(tick)

    def arrive(self, tick: float) -> None:
        """Those who wait now wait for a place."""
        for ticket in self.queue:
            if ticket.unloaded is not None:
                ticket.load_s += tick - ticket.unloaded
                ticket.unloaded = None

    def forget(self, tick: float) -> None:
        """Give requests to no loading until the next is used."""
        if self.current is not None:
            self.current = None
            self.depart(tick)

    def depart(self, tick: float) -> None:
        """Those who wait now wait for a load."""
        for ticket in self.queue:
            ticket.unloaded = tick if ticket.unloaded is None else ticket.unloaded

    def next(self) -> Ticket | None:
        """The ticket that has a place now, taken out of the queue with those that have failed meanwhile."""
        while self.queue and self.serving and self.free > 0:
            self.owed = max(0, min(self.owed, len(self.queue)) - 1)
            ticket = self.queue.take()
            if ticket.error is None:
                return ticket
        return None

    def measure(self, took_s: float) -> None:
        """Take one more request into the mean."""
        self.service_s = took_s if self.service_s is None else self.service_s + NEW * (took_s - self.service_s)

    def eta_s(self, position: int) -> float | None:
        """How long the one at `position` (from 1) will wait for a place; None when no request has ended yet."""
        return None if self.service_s is None else self.service_s * position / self.places
