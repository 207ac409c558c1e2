"""What Lemonade has and what is on its way, looked at in the background, so that no page waits for lemond.

Looked at while a page that shows it is open, every few seconds; every second while something is downloaded.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hal0app.core.clock import Clock, Moment
from hal0app.core.download import Download
from hal0app.core.model import Model
from hal0app.core.progress import NO_PROGRESS, Progress, progress
from hal0app.core.request_record import Use
from hal0app.errors import Hal0Error
from hal0app.services.backends import Backends
from hal0app.services.downloads import Downloads
from hal0app.services.interest import Interest
from hal0app.services.models import Models, ModelView
from hal0app.services.observer import Snapshot

log = logging.getLogger(__name__)

PERIOD_S = 1.0
QUIET_PERIOD_S = 5.0
USES_PERIOD_S = 9.0
SELDOM_PERIOD_S = 60.0
HOUR_S = 3600.0
SAMPLES = 40


@dataclass(frozen=True)
class Underway:
    """A download and how it goes on."""

    download: Download
    progress: Progress = NO_PROGRESS


@dataclass(frozen=True)
class Shelves:
    """One look. `taken` is Unix seconds, None before the first that succeeded; `problem`: why there is none newer."""

    models: tuple[ModelView, ...] = ()
    offered: tuple[Model, ...] = ()  # what Lemonade could download
    downloads: tuple[Underway, ...] = ()
    backends: tuple[Mapping[str, Any], ...] = ()
    uses: Mapping[str, Use] = field(default_factory=dict)  # of the last hour, by model
    taken: float | None = None
    problem: str = ""


@dataclass
class _Counted:
    """What was counted of one download."""

    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    known: Download | None = None


class Stock:
    """`shelves` never waits; `watch` looks. A look that fails keeps what was known, with the reason."""

    def __init__(
        self,
        models: Models,
        downloads: Downloads,
        backends: Backends,
        clock: Clock,
        uses: Callable[[float, float], Mapping[str, Use]] = lambda since, until: {},
    ) -> None:
        self._models, self._downloads, self._backends, self._clock = models, downloads, backends, clock
        self._uses = uses
        self._uses_at = float("-inf")
        self._shelves = Shelves()
        self._counted: dict[str, _Counted] = {}
        self.watch = Interest(clock, self.look, self._period)
        self._seldom_at = float("-inf")
        self._resident: frozenset[str] = frozenset()
        self._listeners: list[Callable[[], None]] = []

    def shelves(self) -> Shelves:
        """What was last seen; asking for it keeps the looks going."""
        self.watch.show()
        return self._shelves

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` (quick, no IO) after every look that found something else."""
        self._listeners.append(listener)

    def observed(self, snapshot: Snapshot) -> None:
        """Look now when other models are resident than before."""
        resident = snapshot.residency.models()
        if resident != self._resident:
            self._resident = resident
            self.watch.nudge()

    def changed(self) -> None:
        """Look now: somebody changed something."""
        self._seldom_at = float("-inf")
        self.watch.wake()

    def _period(self) -> float:
        running = any(one.download.running for one in self._shelves.downloads)
        return PERIOD_S if running else QUIET_PERIOD_S

    def look(self) -> None:
        """Ask lemond once."""
        before = self._shelves
        try:
            self._shelves = self._seen()
        except Hal0Error as problem:
            self._shelves = replace(before, problem=problem.message)
        except Exception:
            log.exception("the models and downloads could not be read")
        if replace(self._shelves, taken=before.taken) != before:
            for listener in self._listeners:
                listener()

    def _seen(self) -> Shelves:
        now = self._clock()
        rows = self._downloads.all()
        models = tuple(self._models.all())
        backends, offered = self._shelves.backends, self._shelves.offered
        if now.tick - self._seldom_at > SELDOM_PERIOD_S or any(self._ended(rows)):
            backends, offered = tuple(self._backends.all()), tuple(self._models.offered())
            self._seldom_at = now.tick
        counted = tuple(self._count(row, now.tick) for row in rows)
        return Shelves(models, offered, counted, backends, self._used(now), now.wall)

    def _used(self, now: Moment) -> Mapping[str, Use]:
        if now.tick - self._uses_at <= USES_PERIOD_S:
            return self._shelves.uses
        self._uses_at = now.tick
        return self._uses(now.wall - HOUR_S, now.wall)

    def _ended(self, rows: list[Download]) -> list[str]:
        running = {one.download.id for one in self._shelves.downloads if one.download.running}
        return sorted(running - {row.id for row in rows if row.running})

    def _count(self, row: Download, tick: float) -> Underway:
        counted = self._counted.setdefault(row.id, _Counted())
        resumed = counted.known is not None and row.running and not counted.known.running
        if resumed or (counted.samples and row.done_bytes < counted.samples[-1][1]):
            counted.samples.clear()
        counted.known = row
        if row.running:
            counted.samples.append((tick, row.done_bytes))
        return Underway(row, progress(counted.samples, row.total_bytes, tick) if row.running else NO_PROGRESS)
