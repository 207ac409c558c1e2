"""Whether a process grows: its memory, open files and threads once a second, and the slope of each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes

MIB = 1024 * 1024
WARM_UP = 1 / 3  # of the samples: imports, pools and caches fill in that time


@dataclass(frozen=True)
class Bound:
    """The steepest slope that is accepted, in units per minute."""

    name: str
    unit: str
    per_minute: float


BOUNDS = (Bound("memory", "MiB", 8.0), Bound("open files", "", 15.0), Bound("threads", "", 8.0))


@dataclass(frozen=True)
class Sample:
    second: float
    values: tuple[float, float, float]  # as BOUNDS


def sample(pids: list[int], second: float) -> Sample:
    """The sums over these processes now."""
    memory = sum(processes.resident_bytes(pid) for pid in pids) / MIB
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return Sample(second, (memory, files, threads))


def slopes(samples: list[Sample]) -> list[float]:
    """Units per minute for each of BOUNDS: a straight line through the samples after the warm-up."""
    warm = samples[int(len(samples) * WARM_UP) :]
    seconds = [one.second for one in warm]
    return [
        statistics.linear_regression(seconds, [one.values[place] for one in warm]).slope * 60
        for place in range(len(BOUNDS))
    ]


def excesses(samples: list[Sample]) -> list[str]:
    """One line for every slope past its bound."""
    return [
        f"{bound.name} grows by {slope:.1f} {bound.unit} a minute, more than {bound.per_minute:g}"
        for bound, slope in zip(BOUNDS, slopes(samples), strict=True)
        if slope > bound.per_minute
    ]
