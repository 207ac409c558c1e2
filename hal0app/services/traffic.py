"""The traffic of the last minutes, while somebody looks at it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.request_record import Filters, RequestRecord
from hal0app.core.throughput import WINDOW_S, Throughput, throughput
from hal0app.services.interest import Interest

log = logging.getLogger(__name__)

PERIOD_S = 5.0
MOST = 1000  # records a look; more in so short a time are not drawn
Select = Callable[[Filters], list[RequestRecord]]


class Traffic:
    """`shown` never waits; `run` reads what is new. `select` gives records, newest first."""

    def __init__(self, select: Select, clock: Clock) -> None:
        self._select, self._clock = select, clock
        self._interest = Interest(clock)
        self._records: deque[RequestRecord] = deque(maxlen=5 * MOST)
        self._shown: Throughput | None = None
        self._stopping = False

    def shown(self) -> Throughput | None:
        """The last look, None before the first; asking for it keeps the looks going."""
        self._interest.show()
        return self._shown

    def run(self) -> None:
        """Look while anybody is interested, until stopped."""
        while not self._stopping:
            if self._interest.there:
                try:
                    self.look()
                except Exception:
                    log.exception("the records of requests could not be read")
            self._interest.wait(PERIOD_S)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._interest.stop()

    def look(self) -> Throughput:
        """Read what has come, forget what is too old."""
        last = self._records[-1].seq if self._records else 0
        self._records.extend(reversed(self._select(Filters(limit=MOST, since=last or 0))))
        now = self._clock().wall
        while self._records and self._records[0].ts < now - 2 * WINDOW_S:
            self._records.popleft()
        self._shown = throughput(self._records, now)
        return self._shown
