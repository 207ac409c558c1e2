"""The machine while somebody looks at it: its hardware and where the memory has gone, sampled in the background."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hal0app.core.clock import Clock
from hal0app.core.hardware import Hardware, busy_percent
from hal0app.core.memory_map import MemoryMap, Part, memory_map
from hal0app.core.residency import Resident
from hal0app.services.interest import Interest
from hal0app.services.observer import Observer
from hal0app.services.ports import HardwareSource

log = logging.getLogger(__name__)

PERIOD_S = 2.0
Held = Callable[[Resident], Part]


@dataclass(frozen=True)
class Gauges:
    """One look. `memory` None: it cannot be read."""

    hardware: Hardware
    cpu_percent: int | None = None
    memory: MemoryMap | None = None


class Machine:
    """`gauges` never waits; `watch` looks. `held` tells what a resident takes."""

    def __init__(self, source: HardwareSource, observer: Observer, held: Held, clock: Clock) -> None:
        self._source, self._observer, self._held = source, observer, held
        self.watch = Interest(clock, self.look, lambda: PERIOD_S)
        self._gauges: Gauges | None = None
        self._listeners: list[Callable[[], None]] = []

    def gauges(self) -> Gauges | None:
        """The last look, None before the first; asking for it keeps the looks going."""
        self.watch.show()
        return self._gauges

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` (quick, no IO) after every look."""
        self._listeners.append(listener)

    def look(self) -> Gauges:
        """Look once."""
        hardware = self._source.look()
        busy = busy_percent(self._gauges.hardware, hardware) if self._gauges else None
        try:
            parts = [self._held(one) for one in self._observer.snapshot.residency.residents]
        except Exception:
            log.exception("what the models take could not be read")
            parts = [Part(one.model, None) for one in self._observer.snapshot.residency.residents]
        self._gauges = Gauges(hardware, busy, memory_map(hardware.memory, parts))
        for listener in self._listeners:
            listener()
        return self._gauges

    def as_json(self) -> dict[str, Any]:
        """As `/api/system` shows it."""
        gauges = self.gauges() or self.look()
        return gauges.hardware.as_json(gauges.cpu_percent)
