"""Measures of requests one after the other: whole answers of 1 KB, the first token, streams without a pause."""

from __future__ import annotations

from functools import partial

from tests.bench.contenders import Contender
from tests.bench.generator import Failed, load, lost
from tests.bench.machine import Meter
from tests.bench.measure import Figures, Measure

CONNECTIONS = (1, 16, 64)
SECONDS = 2.0
FLOOD_STREAMS, FLOOD_SECONDS = 16, 3.0
ENDLESS = 10_000_000  # tokens


def requests(connections: int, to: Contender) -> Figures:
    """A closed loop of JSON answers of 1 KB: rate, latency, and CPU time of the contender for each."""
    meter = to.meter()
    told = load("requests", to, connections=connections, seconds=SECONDS)
    used = meter.read()
    if not told["finished"]:
        raise Failed(f"no answer came ({told['errors']} errors)")
    return {
        "rps": told["finished"] / told["seconds"],
        "p50_us": told["answer_us"]["p50"],
        "p99_us": told["answer_us"]["p99"],
        "cpu_us": used.cpu_s * 1e6 / told["finished"],
        "lost": lost(told),
    }


def ttft(to: Contender) -> Figures:
    """A closed loop of streams of five tokens: the time until the first."""
    meter = to.meter()
    told = load("ttft", to, seconds=SECONDS)
    used = meter.read()
    if not told["finished"]:
        raise Failed(f"no stream came to its end ({told['errors']} errors)")
    return {
        "p50_us": told["first_token_us"]["p50"],
        "p99_us": told["first_token_us"]["p99"],
        "cpu_us": used.cpu_s * 1e6 / told["finished"],
        "lost": lost(told),
    }


def flood(to: Contender) -> Figures:
    """Sixteen streams as fast as they go: tokens a second, and CPU time of the contender for each."""
    meters: list[Meter] = []
    told = load("streams", to, lambda: meters.append(to.meter()), connections=FLOOD_STREAMS, tokens=ENDLESS,
                seconds=FLOOD_SECONDS)  # fmt: skip
    used = meters[0].read() if meters else None
    to.ground.quiet()
    if used is None or not told["tokens"]:
        raise Failed(f"no token came ({told['errors']} errors)")
    return {"tok/s": told["tokens"] / told["seconds"], "cpu_us": used.cpu_s * 1e6 / told["tokens"], "lost": lost(told)}


MEASURES = (
    *(
        Measure(f"requests{count}", "requests", partial(requests, count), ("rps", "p50_us", "p99_us", "cpu_us", "lost"))
        for count in CONNECTIONS
    ),
    Measure("ttft", "ttft", ttft, ("p50_us", "p99_us", "cpu_us", "lost")),
    Measure("flood", "flood", flood, ("tok/s", "cpu_us", "lost")),
)
