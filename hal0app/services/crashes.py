"""Crashes of backends: each is evidence, and too many before a first answer latch the slot (`crash_loop`)."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.operation import Evidence
from hal0app.core.residency import Resident
from hal0app.core.settings import CrashLoop
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.services.ports import States


class Crashes:
    """Counts crashes per model. `last_words` gives the latest lines of lemond's log about its backends."""

    def __init__(self, store: States, clock: Clock, limits: CrashLoop, last_words: Callable[[], list[str]]) -> None:
        self._store, self._clock, self._limits, self._last_words = store, clock, limits, last_words
        self._lock = threading.Lock()
        self._early: dict[str, deque[float]] = defaultdict(deque)
        self._answered: dict[str, tuple[str, int | None]] = {}
        self._counted: dict[str, tuple[str, int | None]] = {}

    def answered(self, resident: Resident) -> None:
        """This loading of the model has given an answer: a later crash of it is no crash loop."""
        self._answered[resident.model] = resident.address

    def note(self, resident: Resident, slot: SlotConfig | None, proof: str) -> None:
        """The connection to this loading of the model broke: it is dead."""
        now = self._clock()
        self._store.save_evidence(Evidence(resident.model, "crashed", now, {"proof": proof}))
        if slot is None or self._answered.get(resident.model) == resident.address:
            return
        with self._lock:
            if self._counted.get(resident.model) == resident.address:
                return  # many requests see one crash
            self._counted[resident.model] = resident.address
            times = self._early[resident.model]
            times.append(now.tick)
            while times[0] < now.tick - self._limits.window_s:
                times.popleft()
            count = len(times)
            if count <= self._limits.crashes:
                return
            times.clear()
        told = {
            "options": options_key(slot),
            "count": count,
            "minutes": round(self._limits.window_s / 60),
            "log": " | ".join(self._last_words()),
        }
        self._store.save_evidence(Evidence(resident.model, "crash_loop", now, told))
