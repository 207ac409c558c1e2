"""The one residency observer of this process: looks at lemond, settles the records, publishes a snapshot.

Every read of state uses the snapshot; nobody else asks lemond for its health.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from hal0app.core.clock import Clock, Moment
from hal0app.core.operation import Operation
from hal0app.core.reconcile import Past, Slot
from hal0app.core.residency import NOTHING_SEEN, Observation
from hal0app.core.settlement import UNREADABLE, Outcome, settle, unreadable
from hal0app.core.slot import Record
from hal0app.core.slot_config import SlotConfig
from hal0app.services.ports import Looks, SlotFolder, States

log = logging.getLogger(__name__)

SHORTEST_PERIOD_S = 0.05  # however often it is poked


@dataclass(frozen=True)
class Snapshot:
    """What this process knows. `seen` is the last look, `residency` the last look that told what is resident."""

    seen: Observation = NOTHING_SEEN
    residency: Observation = NOTHING_SEEN
    slots: tuple[Slot, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    problem: str | None = None  # why the slot files cannot be read: then `slots` are the last known ones

    @cached_property
    def configs(self) -> list[SlotConfig]:
        """The slots whose definition is valid."""
        return [slot for slot in self.slots if isinstance(slot, SlotConfig)]

    def slot(self, name: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.name == name), None)

    def record(self, name: str) -> Record:
        return self.records.get(name, Record(name))


class Observer:
    """Runs `step` once a period, and at once when poked."""

    def __init__(
        self, probe: Looks, slots: SlotFolder, store: States, clock: Clock, period_s: float = 1.0, source: str = "api"
    ) -> None:
        self._probe, self._slots, self._store, self._clock = probe, slots, store, clock
        self._period_s, self._source = period_s, source
        self._snapshot = Snapshot()
        self._past = Past()
        self._published = threading.Condition()
        self._stepping = threading.Lock()
        self._poked = threading.Event()
        self._stop = threading.Event()
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._told: str | None = ""  # the problem with the files that is a finding now; at the start, not known

    @property
    def snapshot(self) -> Snapshot:
        """The latest snapshot, never older than a period while the observer runs."""
        return self._snapshot

    def subscribe(self, listener: Callable[[Snapshot], None]) -> None:
        """Call `listener` (quick, no IO) with every new snapshot."""
        self._listeners.append(listener)

    def run(self) -> None:
        """Step until stopped; a step that fails is logged and the next one tries again."""
        while not self._stop.wait(SHORTEST_PERIOD_S):
            try:
                self.step()
            except Exception:
                log.exception("an observation failed")
            self._poked.wait(self._period_s)
            self._poked.clear()

    def stop(self) -> None:
        """End `run`, and every wait for a look."""
        self._stop.set()
        self.poke()
        self.wake()

    @property
    def stopped(self) -> bool:
        """Whether it looks no more."""
        return self._stop.is_set()

    def poke(self) -> None:
        """Look now rather than at the end of the period."""
        self._poked.set()

    def step(self) -> Snapshot:
        """Look, settle and publish."""
        with self._stepping:
            seen = self._probe.look()
            slots, problem = self._read()
            now = self._clock()

            def decide(past: Past) -> Outcome:
                self._past = past
                return settle(slots, past, seen, now, self._source, complete=problem is None)

            try:
                outcome = self._store.settle(decide, now)
                self._find(problem, now)
            except Exception:
                log.exception("the store cannot be used; states are told from memory")
                outcome = decide(self._past)
            return self._publish(seen, slots, outcome, problem)

    def _read(self) -> tuple[tuple[Slot, ...], str | None]:
        """The slots, and what is wrong when they are not those of the files."""
        try:
            return tuple(self._slots.all()), None
        except OSError as problem:
            return self._snapshot.slots, unreadable(problem)

    def _find(self, problem: str | None, now: Moment) -> None:
        if problem != self._told:
            self._store.keep_findings(UNREADABLE, {"slots": problem} if problem else {}, now, self._source)
            self._told = problem

    def _publish(self, seen: Observation, slots: tuple[Slot, ...], outcome: Outcome, problem: str | None) -> Snapshot:
        past = self._past
        records = {**past.recorded.records, **{one.slot: one.after for one in outcome.transitions}}
        known = seen if seen.fresh else self._snapshot.residency
        with self._published:
            self._snapshot = Snapshot(seen, known, slots, records, past.operations, problem)
            self._published.notify_all()
        for listener in self._listeners:
            listener(self._snapshot)
        return self._snapshot

    def wake(self) -> None:
        """Let all who wait for a look ask again whether they still want it."""
        with self._published:
            self._published.notify_all()

    def after(
        self, moment: Moment, wait_s: float, fresh: bool = True, wanted: Callable[[], bool] = lambda: True
    ) -> Snapshot | None:
        """A snapshot whose look began after `moment` (and told the residency, when `fresh`).

        None after `wait_s`, and when it is not `wanted` any more, which is asked again after `wake`.
        """

        def there() -> bool:
            seen = self._snapshot.seen
            return self._stop.is_set() or (seen.taken.tick > moment.tick and (seen.fresh or not fresh))

        deadline = self._clock().tick + wait_s
        while not there():
            left = deadline - self._clock().tick
            if left <= 0 or not wanted():
                return None
            self.poke()
            with self._published:
                if not there() and wanted():
                    self._published.wait(min(left, self._period_s))
        return None if self._stop.is_set() else self._snapshot
