"""How many tokens went through in the last minutes, out of the records of requests that ended."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

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

    @property
    def peak(self) -> float:
        """The most output at once."""
        return max(self.output)

    @property
    def average(self) -> float:
        """Output over the whole time."""
        return sum(self.output) / POINTS


def throughput(records: Iterable[RequestRecord], now: float) -> Throughput:
    """The last `WINDOW_S` seconds to the end of the step of `now`; a request's tokens are spread over its time."""
    end = (now // STEP_S + 1) * STEP_S
    begin = end - WINDOW_S
    within = [one for one in records if one.ts + one.total_ms / 1000 > begin]
    output, prompt = [0.0] * POINTS, [0.0] * POINTS
    for one in within:
        first = one.ts + (one.ttft_ms or 0) / 1000
        last = one.ts + one.total_ms / 1000
        _spread(output, one.tokens_out or 0, first - begin, last - begin)
        _spread(prompt, one.tokens_in or 0, one.ts - begin, max(first, one.ts + 0.001) - begin)
    waits = [one.ttft_ms for one in within if one.ttft_ms is not None]
    return Throughput(tuple(output), tuple(prompt), round(statistics.median(waits)) if waits else None, len(within))


def _spread(points: list[float], tokens: int, first: float, last: float) -> None:
    """Add so many tokens to the points between two moments, in seconds from the first point's beginning."""
    length = max(last - first, 0.001)
    for place in range(max(int(first // STEP_S), 0), min(int(last // STEP_S) + 1, POINTS)):
        overlap = min(last, (place + 1) * STEP_S) - max(first, place * STEP_S)
        if overlap > 0:
            points[place] += tokens * overlap / length / STEP_S
