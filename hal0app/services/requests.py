"""What hal0 knows of its requests: one record each, kept by a worker in the background, and what they come to.

Nothing here blocks a request: beginning and ending one touch memory only, also from a callback of the hub. What is
known of one that ended is made into its record later, with others, or when somebody asks: on the way of a request it
would keep the next one waiting. What the table cannot take in time is lost, oldest first, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.request_record import Filters, RequestRecord
from hal0app.services.ports import RequestHistory, RequestMeters
from hal0app.services.request import Request, new_id

log = logging.getLogger(__name__)

PERIOD_S = 1.0
BATCH = 200
MOST_PENDING = 5000
LINGER_S = 3.0  # after `stop`: as long as requests under way may take to finish
LINGER_PERIOD_S = 0.1
AT_ONCE = 25  # records that are made before others have a turn: half a millisecond


class Requests:
    """Begins requests, and keeps the records of those that ended. `meters` are told of each.

    `pause` lets others go on while many records are made.
    """

    def __init__(
        self,
        table: RequestHistory,
        meters: RequestMeters,
        clock: Clock,
        tick: Callable[[], float],
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._table, self._meters, self._clock, self._tick, self._pause = table, meters, clock, tick, pause
        self._pending: deque[Request] = deque()  # ended, not written
        self._uncounted: deque[Request] = deque()  # the latest of these, of which the meters do not know yet
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._news = threading.Event()
        self._stopped_at: float | None = None
        self._failing = False
        self._last_ttft: dict[str, int] = {}
        self.open = 0
        self.lost = 0

    # -- requests

    def begin(self, endpoint: str, client: str = "", agent: str | None = None, id_: str | None = None) -> Request:
        """Accept a request; whoever begins it must tell how it ended."""
        self.open += 1
        return Request(self.keep, endpoint, client, agent, id_ or new_id(), self._clock(), self._tick)

    def keep(self, request: Request) -> None:
        """Take a request that has ended. Never raises."""
        self.open -= 1
        pending = self._pending
        if len(pending) >= MOST_PENDING:
            pending.popleft()
            self.lost += 1
        pending.append(request)
        self._uncounted.append(request)
        if len(self._uncounted) > 2 * BATCH:  # the worker is busy with the disk
            self._count_one()
        if len(pending) == BATCH or self._stopped_at is not None:
            self._news.set()

    def count(self) -> None:
        """Let the meters know of every request that has ended until now."""
        with self._counting:
            for number in range(len(self._uncounted)):  # not those that come meanwhile, or it would never end
                if number and number % AT_ONCE == 0:
                    self._pause()
                self._count_one()

    def _count_one(self) -> None:
        try:
            request = self._uncounted.popleft()
        except IndexError:
            return
        record = request.record
        if record.slot and record.ttft_ms is not None:
            self._last_ttft[record.slot] = record.ttft_ms
        try:
            self._meters.ended(record, request.figures, request.size)
        except Exception:
            log.exception("the figures of a request could not be counted")

    @property
    def pending(self) -> int:
        """Records that are not written yet."""
        return len(self._pending)

    def last_ttft(self, slot: str) -> int | None:
        """The last time to the first token that the slot's requests told, in milliseconds."""
        self.count()
        return self._last_ttft.get(slot)

    def select(self, filters: Filters) -> list[RequestRecord]:
        """Records, newest first, with those that ended just now. Blocks the caller, not the hub."""
        self.flush()
        return self._table.select(filters)

    # -- the worker

    def run(self) -> None:
        """Write what is pending every period and when a batch is full, until a little after `stop`."""
        self._remember()
        while self._stopped_at is None or self._tick() - self._stopped_at < LINGER_S:
            self._news.wait(PERIOD_S if self._stopped_at is None else LINGER_PERIOD_S)
            self._news.clear()
            self.flush()

    def _remember(self) -> None:
        try:
            self._last_ttft = {**self._table.last_ttft(), **self._last_ttft}
        except Exception:
            log.exception("the last requests could not be read")

    def stop(self) -> None:
        """Write what is pending at once; `run` goes on for the requests that are under way."""
        self._stopped_at = self._tick()
        self._news.set()
        self.flush()

    def flush(self) -> None:
        """Write what is pending now. What cannot be written stays for the next time."""
        self.count()
        with self._flushing:
            for _ in range(MOST_PENDING // BATCH + 1):
                batch = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
                if not batch or not self._written(batch):
                    return

    def _written(self, batch: list[Request]) -> bool:
        """Whether the next batch may be tried."""
        try:
            done = self._table.append([one.record for one in batch])
        except Exception:
            log.exception("%d request records are lost", len(batch))
            self.lost += len(batch)
            return True
        if not done:
            self._put_back(batch)
        if done is self._failing:
            self._failing = not done
            log.log(
                logging.INFO if done else logging.ERROR, "request records %s be written", "can" if done else "cannot"
            )
        return done

    def _put_back(self, batch: list[Request]) -> None:
        room = max(0, MOST_PENDING - len(self._pending))
        self.lost += max(0, len(batch) - room)
        self._pending.extendleft(reversed(batch[len(batch) - min(room, len(batch)) :]))
