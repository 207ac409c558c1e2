"""What hal0 knows of its requests: one record each, kept by a worker in the background, and what they come to.

Nothing here blocks a request: beginning and ending one touch memory only, also from a callback of the hub. What is
known of one that ended is made into its record later, with others, or when somebody asks: on the way of a request it
would keep the next one waiting. What the table cannot take in time is lost, oldest first, and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock, Moment
from hal0app.core.ending import Ending
from hal0app.core.headers import Headers
from hal0app.core.request_record import (
    CODES_OF_ENDS,
    LONGEST_ID,
    REFUSED,
    Filters,
    RequestRecord,
    cut,
)
from hal0app.core.tap import NOTHING_PASSED, Figures, Tap
from hal0app.services.answer import Answer, Trip
from hal0app.services.ports import RequestHistory, RequestMeters

log = logging.getLogger(__name__)

PERIOD_S = 1.0
BATCH = 200
MOST_PENDING = 5000
LINGER_S = 3.0  # after `stop`: as long as requests under way may take to finish
LINGER_PERIOD_S = 0.1
AT_ONCE = 25  # records that are made before others have a turn: half a millisecond
ID_BYTES, IDS = 12, 64  # drawn together, for drawing them is a call of the kernel
NOWHERE = Trip(route="", path="")

_ids: list[str] = []


def new_id() -> str:
    """An id for a request that came without one."""
    try:
        return _ids.pop()
    except IndexError:
        drawn = os.urandom(ID_BYTES * (IDS + 1)).hex()
        one, *others = ("req-" + drawn[at : at + 2 * ID_BYTES] for at in range(0, len(drawn), 2 * ID_BYTES))
        _ids.extend(others)
        return one


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
        return Request(self, endpoint, client, agent, id_ or new_id(), self._clock(), self._tick)

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


class Request:
    """One request from its acceptance to its end, which is told once: by `refused` or by `ended`; more is ignored.

    `begun`: an answer of an upstream has begun, so that its relay will tell the end; `size` bytes of it were relayed.
    """

    __slots__ = (
        *("_accepted", "_agent", "_client", "_code", "_endpoint", "_figures", "_outcome", "_record", "_requests"),
        *("_status", "_tap", "_tick", "_took_s", "_trip", "begun", "id", "size"),
    )

    def __init__(
        self,
        requests: Requests,
        endpoint: str,
        client: str,
        agent: str | None,
        id_: str,
        accepted: Moment,
        tick: Callable[[], float],
    ) -> None:
        self.id = id_
        self._requests, self._accepted, self._tick = requests, accepted, tick
        self._endpoint, self._client, self._agent = endpoint, client, agent
        self._status = self.size = 0
        self._trip = NOWHERE
        self._tap: Tap | None = None
        self._figures = NOTHING_PASSED
        self.begun = False
        self._outcome = ""  # none until it is over
        self._code: str | None = None
        self._took_s = 0.0
        self._record: RequestRecord | None = None

    def asks_for(self, model: str, slot: str = "") -> None:
        """What it names, for the case that nothing serves it."""
        self._trip = Trip(slot, model, "", "")

    @property
    def went(self) -> bool:
        """Whether it is known where it goes, or what it asks for."""
        return self._trip is not NOWHERE

    def goes(self, trip: Trip) -> None:
        """Where it goes, as far as that is known."""
        self._trip = trip

    @property
    def explain(self) -> Headers:
        """The explain headers of an answer of hal0's own; none while it is not known where the request goes."""
        return self._trip.headers() if self._trip.slot or self._trip.route else []

    def answered(self, status: int, streams: bool, trip: Trip) -> Tap:
        """An answer has begun; the tap that its body is to pass."""
        self._status, self._trip, self.begun = status, trip, True
        self._tap = Tap(self._tick, streams)
        return self._tap

    def follow(self, answer: Answer) -> None:
        """Let it pass the tap, and end with it."""
        tap = self.answered(answer.status, answer.streams, answer.trip)
        answer.tap, answer.repeats = tap.see, tap.repeats
        answer.on_end = self.ended

    def refused(self, status: int, code: str | None) -> None:
        """hal0 gave an answer of its own."""
        if not self._outcome:
            self._tap, self._status, self._code, self.begun = None, status, code, False
            self._end(Ending.CLIENT_GONE if code == "client.gone" else REFUSED)

    def ended(self, outcome: str, size: int) -> None:
        """The relay of the answer has ended; `outcome` is its word for how. Never raises."""
        if not self._outcome:
            self.size = size
            self._end(outcome)

    def _end(self, outcome: str) -> None:
        self._outcome, self._took_s = outcome, self._tick() - self._accepted.tick
        self._requests.keep(self)

    # -- once it is over

    @property
    def figures(self) -> Figures:
        """What is known of the answer so far."""
        if self._tap is None:
            return self._figures
        try:
            return self._tap.figures()
        except Exception:
            log.exception("the figures of an answer could not be read")
            return NOTHING_PASSED

    @property
    def record(self) -> RequestRecord:
        """What is kept of it."""
        if self._record is None:
            self._figures, self._tap = self.figures, None
            self._record = self._recorded(self._figures)
        return self._record

    def _recorded(self, figures: Figures) -> RequestRecord:
        trip, accepted = self._trip, self._accepted
        return RequestRecord(
            ts=accepted.wall,
            id=self.id,
            endpoint=self._endpoint,
            status=self._status,
            outcome=str(self._outcome),
            total_ms=_ms(self._took_s),
            client=self._client,
            agent=cut(self._agent, LONGEST_ID),
            slot=trip.slot or None,
            model=cut(trip.model),
            route=trip.route or None,
            path=trip.path or None,
            queue_ms=trip.queue_ms if trip.route else None,
            load_ms=trip.load_ms if trip.route else None,
            ttft_ms=None if figures.first is None else _ms(figures.first - accepted.tick),
            tokens_in=figures.tokens_in,
            tokens_out=figures.tokens_out,
            estimated=figures.estimated,
            tokens_per_s=None if figures.tokens_per_s is None else round(figures.tokens_per_s, 2),
            error_code=self._why(figures),
            replayed=trip.replayed,
        )

    def _why(self, figures: Figures) -> str | None:
        if not self.begun:
            return self._code
        told = figures.error or (f"http.{self._status}" if self._status >= 400 else None)
        return CODES_OF_ENDS.get(self._outcome) or told


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
