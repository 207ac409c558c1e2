"""What the clients of a soak saw, and one who reads lemond's health beside them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from tests.support.engines import Engine

GIVE_UP_S = 180.0


@dataclass
class Seen:
    """`slowest_*` are seconds; `answers` counts by what was asked."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    health_reads: int = 0
    slowest_health_s: float = 0.0
    slowest_answer_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, what: str, wrong: str, took_s: float) -> None:
        """One more answer; `wrong` tells what was, if anything."""
        with self._lock:
            self.answers[what] += 1
            self.slowest_answer_s = max(self.slowest_answer_s, took_s)
            if wrong:
                self.failures.append(f"{what} after {took_s:.1f} s: {wrong}")

    def read_health(self, engine: Engine, every_s: float, on: Callable[[], bool]) -> None:
        """Read lemond's health as an outsider does, while `on`, and note the longest wait."""
        pause = threading.Event()
        with requests.Session() as session:
            while on():
                begun = time.monotonic()
                session.get(f"{engine.url}/v1/health", timeout=GIVE_UP_S).raise_for_status()
                self.slowest_health_s = max(self.slowest_health_s, time.monotonic() - begun)
                self.health_reads += 1
                pause.wait(every_s)
