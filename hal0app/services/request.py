"""One request and what is known of it, from its acceptance to its record."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from hal0app.core.clock import Moment
from hal0app.core.ending import Ending
from hal0app.core.headers import Headers
from hal0app.core.request_record import CODES_OF_ENDS, LONGEST_ID, REFUSED, RequestRecord, cut
from hal0app.core.tap import NOTHING_PASSED, Figures, Tap
from hal0app.services.answer import Answer, Trip

log = logging.getLogger(__name__)

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


class Request:
    """One request from its acceptance to its end, which is told once: by `refused` or by `ended`; more is ignored.

    `keep` is given it then; it touches memory only and never raises.

    `begun`: an answer of an upstream has begun, so that its relay will tell the end; `size` bytes of it were relayed.
    """

    __slots__ = (
        *("_accepted", "_agent", "_client", "_code", "_endpoint", "_figures", "_keep", "_outcome", "_record"),
        *("_status", "_tap", "_tick", "_took_s", "_trip", "begun", "id", "size"),
    )

    def __init__(
        self,
        keep: Callable[[Request], None],
        endpoint: str,
        client: str,
        agent: str | None,
        id_: str,
        accepted: Moment,
        tick: Callable[[], float],
    ) -> None:
        self.id = id_
        self._keep, self._accepted, self._tick = keep, accepted, tick
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
        self._keep(self)

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
