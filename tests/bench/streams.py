"""Measures of many open streams: tokens at the pace of a model, and silent ones for their memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

from tests.bench.contenders import Contender
from tests.bench.generator import Failed, load, lost
from tests.bench.machine import Use
from tests.bench.measure import Figures, Measure, When

INTERVAL_US = 50_000  # 20 tokens a second
SECONDS = 4.0
SHORTEST_RAMP_MS, RAMP_MS_PER_STREAM = 1000, 2
BEGIN_S, END_S = 0.3, 0.5  # of the steady time that the meter leaves out
SILENT_US, SILENT_SECONDS = 30_000_000, 2.5
MOST_STREAMS = 2000  # as the load generator has it

PACED = ("pace", "lost", "p50_us", "p99_us", "ttft_p99_us", "cpu_us", "cpu_share", "box_share")
MEMORY = ("per_stream_kb", "idle_mb", "streams")


class _Window:
    """Meters a contender inside the steady time, on a thread of its own."""

    def __init__(self, to: Contender, seconds: float) -> None:
        self._to, self._seconds = to, seconds
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.use: Use | None = None
        self.memory_mb = 0.0

    def open(self) -> None:
        self._thread.start()

    def _watch(self) -> None:
        pause = threading.Event()
        pause.wait(BEGIN_S)
        meter = self._to.meter()
        pause.wait(self._seconds - BEGIN_S - END_S)
        use = meter.read()
        self.memory_mb = self._to.memory_mb()
        self.use = use

    def result(self) -> Use:
        """What was used in it. Raises Failed when the time never came."""
        if not self._thread.ident:
            raise Failed("the streams did not all open")
        self._thread.join()
        assert self.use is not None
        return self.use


def ramp_ms(streams: int) -> int:
    """How long to take for opening them."""
    return max(SHORTEST_RAMP_MS, streams * RAMP_MS_PER_STREAM)


def paced(streams: int, to: Contender) -> Figures:
    """Streams at 20 tokens a second: what is lost, how late tokens are, CPU time of the contender for each."""
    window = _Window(to, SECONDS)
    tokens = int((ramp_ms(streams) / 1000 + SECONDS + 6) * 1e6 / INTERVAL_US)
    told = load("streams", to, window.open, connections=streams, tokens=tokens, interval_us=INTERVAL_US,
                ramp_ms=ramp_ms(streams), seconds=SECONDS)  # fmt: skip
    use = window.result()
    to.ground.quiet()
    rate = told["tokens"] / told["seconds"]
    if not rate:
        raise Failed(f"no token came ({told['errors']} errors)")
    return {
        "pace": rate / (streams * 1e6 / INTERVAL_US),
        "p50_us": told["delay_us"]["p50"],
        "p99_us": told["delay_us"]["p99"],
        "ttft_p99_us": told["first_token_us"]["p99"],
        "cpu_us": use.share * 1e6 / rate,
        "cpu_share": use.share,
        "box_share": use.box_share,
        "lost": lost(told),
    }


def memory(streams: int, to: Contender) -> Figures:
    """Streams that have sent one token and are silent: what each costs, and what the idle contender had before."""
    before, window = to.memory_mb(), _Window(to, SILENT_SECONDS)
    told = load("streams", to, window.open, connections=streams, tokens=3, interval_us=SILENT_US,
                ramp_ms=ramp_ms(streams), seconds=SILENT_SECONDS)  # fmt: skip
    window.result()
    to.ground.quiet()
    begun = told["all_tokens"]
    if not begun:
        raise Failed(f"no stream began ({told['errors']} errors)")
    return {"per_stream_kb": (window.memory_mb - before) * 1024 / begun, "idle_mb": to.idle_mb, "streams": begun}


def measures(streams: Sequence[int]) -> list[Measure]:
    """The rows for these numbers of streams."""
    rows = [Measure(f"paced{count}", "paced", partial(paced, count), PACED) for count in streams]
    return [*rows, Measure("memory", "memory", partial(memory, max(streams)), MEMORY, when=When.FIRST)]
