"""`python -m tests.soak --minutes 3`: four slots over two places for a while; the exit code says whether it held."""

from __future__ import annotations

import argparse
import sys
import time

from tests.soak import four_over_two, growth
from tests.support import models, processes
from tests.support.app import App, hal0
from tests.support.engines import TARGETS

HEALTH_WITHIN_S = 3.0


def own(app: App) -> list[int]:
    """The processes of this hal0."""
    assert app.process is not None
    return [app.process.pid, *processes.children(app.process.pid)]


def soak(minutes: float, engine_name: str) -> list[str]:
    """Run it, print what was seen, and return what went past its bound."""
    tiny = {f"chat-{x}": models.chat() for x in "abcd"}
    samples: list[growth.Sample] = []
    with TARGETS[engine_name](max_loaded_models=2, models=tiny) as engine, hal0(engine.url, four_over_two.SLOTS) as app:
        begun, pids = time.monotonic(), own(app)
        seen = four_over_two.run(
            app, engine, minutes * 60, lambda: samples.append(growth.sample(pids, time.monotonic() - begun))
        )
    print(f"answers {sum(seen.answers.values())}, failed {len(seen.failures)}, slowest {seen.slowest_answer_s:.1f} s")
    print(f"health read {seen.health_reads} times, slowest {seen.slowest_health_s:.2f} s")
    for bound, slope, last in zip(growth.BOUNDS, growth.slopes(samples), samples[-1].values, strict=True):
        print(f"{bound.name}: {last:.0f} {bound.unit}, {slope:+.2f} a minute")
    past = [f"{len(seen.failures)} requests failed; the first: {seen.failures[0]}"] if seen.failures else []
    if seen.slowest_health_s > HEALTH_WITHIN_S:
        past.append(f"a reader of health waited {seen.slowest_health_s:.1f} s, more than {HEALTH_WITHIN_S:g}")
    return past + growth.excesses(samples)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--engine", choices=list(TARGETS), default="embedded")
    options = parser.parse_args()
    past = soak(options.minutes, options.engine)
    print("\n".join(f"PAST ITS BOUND: {one}" for one in past) or "within its bounds")
    return 1 if past else 0


if __name__ == "__main__":
    sys.exit(main())
