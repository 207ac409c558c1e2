"""What the machine is and how it fares. None is what is not reported, never 0."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hal0app.core.memory import HostMemory


@dataclass(frozen=True)
class Gpu:
    """One graphics card: percent busy, degrees Celsius, watts."""

    name: str
    busy_percent: int | None = None
    temperature_c: int | None = None
    power_w: int | None = None


@dataclass(frozen=True)
class Hardware:
    """One look at the machine. `cpu_ticks`: (busy, all) since boot, of which two looks make a percentage.

    `denied`: the files that are there and that hal0 may not read.
    """

    cpu_name: str | None = None
    cpu_threads: int | None = None
    cpu_temperature_c: int | None = None
    cpu_ticks: tuple[int, int] | None = None
    gpus: tuple[Gpu, ...] = ()
    npu: str | None = None
    denied: tuple[str, ...] = ()
    memory: HostMemory = field(default_factory=HostMemory)

    def as_json(self, cpu_percent: int | None) -> dict[str, Any]:
        """As `/api/system` shows it; memory in bytes."""
        return {
            "cpu": {
                "name": self.cpu_name,
                "threads": self.cpu_threads,
                "busy_percent": cpu_percent,
                "temperature_c": self.cpu_temperature_c,
            },
            "gpus": [asdict(one) for one in self.gpus],
            "npu": self.npu,
            "denied": list(self.denied),
            "memory": {"total": self.memory.total, "available": self.memory.available},
            "cards": [asdict(one) for one in self.memory.cards],
        }


def busy_percent(before: Hardware, now: Hardware) -> int | None:
    """How busy the CPU was between two looks."""
    if before.cpu_ticks is None or now.cpu_ticks is None:
        return None
    busy, whole = (now.cpu_ticks[place] - before.cpu_ticks[place] for place in (0, 1))
    return round(100 * busy / whole) if whole > 0 else None
