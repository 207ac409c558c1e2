"""The traffic of the last minutes, while somebody looks at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.request_record import Filters, RequestRecord
from hal0app.core.throughput import WINDOW_S, Throughput, throughput
from hal0app.services.interest import Interest

PERIOD_S = 5.0
MOST = 1000  # records a look; of more, every so-many-th is read
KEEP = 5 * MOST  # of more, every other one is kept
FEWER = 4
Select = Callable[[Filters], list[RequestRecord]]


class Traffic:
    """`shown` never waits; `watch` reads what is new. `select` gives records, newest first."""

    def __init__(self, select: Select, clock: Clock) -> None:
        self._select, self._clock = select, clock
        self.watch = Interest(clock, self.look, lambda: PERIOD_S)
        self._records: deque[tuple[RequestRecord, int]] = deque()  # with how many each stands for
        self._last = 0
        self._shown: Throughput | None = None

    def shown(self) -> Throughput | None:
        """The last look, None before the first; asking for it keeps the looks going."""
        self.watch.show()
        return self._shown

    def look(self) -> Throughput:
        """Read what has come, forget what is too old."""
        now = self._clock().wall
        found, every = self._read(now - 2 * WINDOW_S)
        self._last = (found[0].seq or 0) if found else self._last
        self._records.extend((one, every) for one in reversed(found))
        if len(self._records) > KEEP:
            self._records = deque((one, 2 * times) for one, times in list(self._records)[::2])
        while self._records and self._records[0][0].ts < now - 2 * WINDOW_S:
            self._records.popleft()
        self._shown = throughput((one for one, _ in self._records), now, (times for _, times in self._records))
        return self._shown

    def _read(self, begin: float) -> tuple[list[RequestRecord], int]:
        """What has come, newest first, all of it or every so-many-th, and how many each stands for."""
        every = 1
        while True:
            found = self._select(Filters(limit=MOST, since=self._last, every=every))
            if len(found) < MOST or found[-1].ts < begin:
                return found, every
            every *= FEWER
