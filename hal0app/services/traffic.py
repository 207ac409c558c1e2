"""The traffic of the last minutes, while somebody looks at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.request_record import Filters, RequestRecord
from hal0app.core.throughput import WINDOW_S, Throughput, throughput
from hal0app.services.interest import Interest

PERIOD_S = 5.0
MOST = 1000  # records a look; more in so short a time are not drawn
Select = Callable[[Filters], list[RequestRecord]]


class Traffic:
    """`shown` never waits; `watch` reads what is new. `select` gives records, newest first."""

    def __init__(self, select: Select, clock: Clock) -> None:
        self._select, self._clock = select, clock
        self.watch = Interest(clock, self.look, lambda: PERIOD_S)
        self._records: deque[RequestRecord] = deque(maxlen=5 * MOST)
        self._shown: Throughput | None = None

    def shown(self) -> Throughput | None:
        """The last look, None before the first; asking for it keeps the looks going."""
        self.watch.show()
        return self._shown

    def look(self) -> Throughput:
        """Read what has come, forget what is too old."""
        last = self._records[-1].seq if self._records else 0
        self._records.extend(reversed(self._select(Filters(limit=MOST, since=last or 0))))
        now = self._clock().wall
        while self._records and self._records[0].ts < now - 2 * WINDOW_S:
            self._records.popleft()
        self._shown = throughput(self._records, now)
        return self._shown
