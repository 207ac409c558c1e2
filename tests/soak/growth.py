"""Whether a process grows: its memory, open files, greenlets and threads once a second, and a line through each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tests.soak.traces import traces, worker
from tests.support import processes
from tests.support.app import App

MIB = 1024 * 1024
WARM_UP = 1 / 3  # of the samples: imports, pools and caches fill in that time
WINDOW = 5  # samples of which the lowest counts: what comes and goes with a request is no growth


FILLED_S = 600.0  # of traffic, until pages, lists and the allocator's arenas are as full as they get


@dataclass(frozen=True)
class Bound:
    """The most that may be added from the end of the warm-up to the end; `filling` more before FILLED_S."""

    name: str
    unit: str
    most: float
    filling: float = 0.0


# Counts swing with the clients of a moment, so that a line through them is never level; `traces` compares them at rest.
BOUNDS = (
    Bound("memory", "MiB", 5.0, filling=5.0),  # in three minutes 3 to 6, in thirty 2 to 5
    Bound("open files", "", 5.0),
    Bound("greenlets", "", 5.0),
    Bound("threads", "", 2.0),
)


@dataclass(frozen=True)
class Sample:
    second: float
    values: tuple[float, ...]  # as BOUNDS


def sample(app: App, second: float) -> Sample:
    """What the worker has now."""
    held = traces(app)
    memory = processes.resident_bytes(worker(app)) / MIB
    return Sample(second, (memory, held.files, held.greenlets, held.threads))


def growths(samples: list[Sample]) -> list[float]:
    """How much of each of BOUNDS was added: the rise of a straight line through the samples after the warm-up."""
    warm = samples[int(len(samples) * WARM_UP) :]
    windows = [warm[at : at + WINDOW] for at in range(0, len(warm) - WINDOW + 1, WINDOW)]
    seconds = [window[0].second for window in windows]
    rises = []
    for place in range(len(BOUNDS)):
        lowest = [min(one.values[place] for one in window) for window in windows]
        rises.append(statistics.linear_regression(seconds, lowest).slope * (seconds[-1] - seconds[0]))
    return rises


def excesses(samples: list[Sample]) -> list[str]:
    """One line for every growth past its bound."""
    filling = samples[-1].second < FILLED_S
    allowed = [bound.most + filling * bound.filling for bound in BOUNDS]
    return [
        f"{bound.name} grew by {rise:.1f} {bound.unit} after the warm-up, more than {most:g}"
        for bound, most, rise in zip(BOUNDS, allowed, growths(samples), strict=True)
        if rise > most
    ]
