"""Looks at the processes of residents now and then: their memory, and how full llama.cpp's KV caches are."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from hal0app.core.clock import Clock
from hal0app.core.residency import Resident
from hal0app.core.vitals import KvUsage
from hal0app.services.observer import Observer
from hal0app.services.ports import KvGauge, MemorySource

log = logging.getLogger(__name__)

PERIOD_S = 10.0
KEEP_S = 60.0  # how long a figure is told while a busy server gives no newer one
LLAMACPP = "llamacpp"


@dataclass(frozen=True)
class Sample:
    """Bytes of the process, and the use of its KV cache as it was at `kv_tick`; None is what is not known."""

    memory_bytes: int | None = None
    kv_usage: KvUsage | None = None
    kv_tick: float = float("-inf")


NO_SAMPLE = Sample()


class Sampling:
    """A sample per loading of a model. Nobody waits for one."""

    def __init__(
        self, observer: Observer, memory: MemorySource, gauge: KvGauge, clock: Clock, period_s: float = PERIOD_S
    ) -> None:
        self._observer, self._memory, self._gauge, self._clock = observer, memory, gauge, clock
        self._period_s = period_s
        self._samples: dict[tuple[str, int | None], Sample] = {}
        self._stopping = threading.Event()

    def of(self, resident: Resident | None) -> Sample:
        """The latest sample of this loading of the model."""
        return self._samples.get(resident.address, NO_SAMPLE) if resident is not None else NO_SAMPLE

    def run(self) -> None:
        """Sample every period until stopped."""
        while not self._stopping.is_set():
            try:
                self.step()
            except Exception:
                log.exception("the residents could not be sampled")
            self._stopping.wait(self._period_s)

    def step(self) -> None:
        """Sample every resident once; those that left are forgotten."""
        residents = self._observer.snapshot.residency.residents
        self._samples = {one.address: self._sample(one) for one in residents}

    def _sample(self, resident: Resident) -> Sample:
        process = self._memory.process(resident.pid) if resident.pid else None
        memory = process.resident if process else None
        if resident.recipe != LLAMACPP or not resident.backend_url or self._stopping.is_set():
            return Sample(memory)
        now, known = self._clock().tick, self.of(resident)
        usage = self._gauge.kv_usage(resident.backend_url)
        if usage is None and now - known.kv_tick < KEEP_S:
            return Sample(memory, known.kv_usage, known.kv_tick)
        return Sample(memory, usage, now)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
