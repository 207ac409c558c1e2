"""How many tokens went through in the last minutes, out of the records of requests that ended."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

from hal0app.core.request_record import RequestRecord

WINDOW_S = 600.0
POINTS = 60
STEP_S = WINDOW_S / POINTS


@dataclass(frozen=True)
class Throughput:
    """Tokens a second, oldest point first, each over `STEP_S` seconds; `ttft_ms` is the median first token."""

    output: tuple[float, ...] = (0.0,) * POINTS
    prompt: tuple[float, ...] = (0.0,) * POINTS
    ttft_ms: int | None = None
    requests: int = 0
    every: int = 1  # at times only every so-many-th request was read, and stands for the others

    @property
    def peak(self) -> float:
        """The most output at once."""
        return max(self.output)

    @property
    def average(self) -> float:
        """Output over the whole time."""
        return sum(self.output) / POINTS


def throughput(records: Iterable[RequestRecord], now: float, stand_for: Iterable[int] = repeat(1)) -> Throughput:
    """The last `WINDOW_S` seconds to the end of the step of `now`; a request's tokens are spread over its time.

    `stand_for`: how many requests each record stands for.
    """
    end = (now // STEP_S + 1) * STEP_S
    begin = end - WINDOW_S
    pairs = zip(records, stand_for, strict=False)
    within = [(one, times) for one, times in pairs if one.ts + one.total_ms / 1000 > begin]
    output, prompt = [0.0] * POINTS, [0.0] * POINTS
    for one, times in within:
        first = one.ts + (one.ttft_ms or 0) / 1000
        last = one.ts + one.total_ms / 1000
        _spread(output, times * (one.tokens_out or 0), first - begin, last - begin)
        _spread(prompt, times * (one.tokens_in or 0), one.ts - begin, max(first, one.ts + 0.001) - begin)
    waits = [one.ttft_ms for one, _ in within if one.ttft_ms is not None]
    median = round(statistics.median(waits)) if waits else None
    requests, every = sum(times for _, times in within), max((times for _, times in within), default=1)
    return Throughput(tuple(output), tuple(prompt), median, requests, every)


def _spread(points: list[float], tokens: int, first: float, last: float) -> None:
    """Add so many tokens to the points between two moments, in seconds from the first point's beginning."""
    length = max(last - first, 0.001)
    for place in range(max(int(first // STEP_S), 0), min(int(last // STEP_S) + 1, POINTS)):
        overlap = min(last, (place + 1) * STEP_S) - max(first, place * STEP_S)
        if overlap > 0:
            points[place] += tokens * overlap / length / STEP_S
