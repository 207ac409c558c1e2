"""What the requests of the last minute, hour and day come to, per slot and per endpoint."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hal0app.core.clock import Clock
from hal0app.core.request_record import Summaries
from hal0app.services.ports import RequestHistory

log = logging.getLogger(__name__)

WINDOWS = {"1m": 60.0, "1h": 3600.0, "24h": 86400.0}  # seconds
HOUR = "1h"
KEEP_S = 1.0
SHARE = 20  # figures are kept so many times as long as they took to compute: at most 5 % of a core go into them
# `hour`, for which nobody waits, is so many seconds old at least and at most; a second for every 50 records between.
UNASKED_S, RECORDS_PER_S = (2.0, 300.0), 50


@dataclass(frozen=True)
class Window:
    """The figures of one window, as they were at `taken_at` (Unix seconds)."""

    seconds: float
    taken_at: float
    slots: Summaries
    endpoints: Summaries


@dataclass(frozen=True)
class _Kept:
    window: Window
    ended: float
    took_s: float

    @property
    def until(self) -> float:
        return self.ended + max(KEEP_S, SHARE * self.took_s)


class Stats:
    """Computes off the hub, when asked, and keeps the result for a second or more. `hour` is what was computed last."""

    def __init__(self, history: RequestHistory, clock: Clock, flush: Callable[[], None] = lambda: None) -> None:
        self._history, self._clock, self._flush = history, clock, flush
        self._computing = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._hour: _Kept | None = None
        self._stopping = threading.Event()

    def window(self, name: str) -> Window:
        """The figures of a window of WINDOWS. Blocks the caller, not the hub."""
        with self._computing:
            kept = self._kept.get(name)
            if kept is None or self._clock().tick >= kept.until:
                kept = self._kept[name] = self._compute(WINDOWS[name])
                if name == HOUR:
                    self._hour = kept
            return kept.window

    def _compute(self, seconds: float, endpoints: bool = True) -> _Kept:
        began = self._clock()
        self._flush()
        since = began.wall - seconds
        until = self._clock().wall  # not beyond: what was recorded before the clock was set back is of no window
        by_slot = self._history.summaries(since, until, "slot")
        by_endpoint = self._history.summaries(since, until, "endpoint") if endpoints else {}
        ended = self._clock().tick
        return _Kept(Window(seconds, began.wall, by_slot, by_endpoint), ended, ended - began.tick)

    @property
    def hour(self) -> Summaries:
        """The last hour's figures of every slot, as last computed; nothing is computed for it."""
        return self._hour.window.slots if self._hour else {}

    def run(self) -> None:
        """Keep `hour` fresh until stopped."""
        while not self._stopping.is_set():
            try:
                with self._computing:
                    self._hour = self._compute(WINDOWS[HOUR], endpoints=False)
            except Exception:
                log.exception("the figures of the last hour could not be read")
            self._stopping.wait(self.pause_s)

    @property
    def pause_s(self) -> float:
        """Seconds until `run` computes again."""
        kept = self._hour
        if kept is None:
            return KEEP_S
        least, most = UNASKED_S
        records = sum(one.requests for one in kept.window.slots.values())
        wanted = kept.ended + min(max(least, records / RECORDS_PER_S), most)
        return max(KEEP_S, max(kept.until, wanted) - self._clock().tick)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
