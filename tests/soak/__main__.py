"""`python -m tests.soak --minutes 30`: mixed traffic, then kills of backends; the exit code says whether it held."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.soak import growth, kills, mixed, traces
from tests.support import models
from tests.support.app import hal0
from tests.support.engines import TARGETS, user_model

HEALTH_WITHIN_S = 3.0
REST_AFTER_S = 20.0  # of traffic: every pool is filled once, then what hal0 holds at rest is known
WHISPER = {"checkpoint": "", "source": "local_path", "recipe": "flm", "labels": ["transcription"], "suggested": True}


def soak(minutes: float, engine_name: str) -> list[str]:
    """Mixed traffic: print what was seen, and return what went past its bound."""
    uploads = engine_name == "embedded"  # which simulates what hears; the chroot's lemond has no such backend
    listed: dict[str, Any] = {"embed-a": user_model(models.embed(), "embeddings"), "whisper": WHISPER}
    chats = {model: models.chat() for model in mixed.MODELS}
    more: dict[str, Any] = {"simulate_flm": True} if uploads else {}
    samples: list[growth.Sample] = []
    with (
        TARGETS[engine_name](max_loaded_models=2, models=chats, user_models=listed, **more) as engine,
        hal0(engine.url, mixed.SLOTS) as app,
    ):
        early = mixed.run(app, engine, REST_AFTER_S, uploads)
        before, begun = traces.at_rest(app, engine), time.monotonic()
        seen = mixed.run(
            app,
            engine,
            minutes * 60 - REST_AFTER_S,
            uploads,
            lambda: samples.append(growth.sample(app, time.monotonic() - begun)),
        )
        traces.no_more_than(app, engine, before)
    print(f"{seen.answers.total()} acts: {dict(seen.answers)}; slowest {seen.slowest_answer_s:.1f} s")
    print(f"health read {seen.health_reads} times, slowest {seen.slowest_health_s:.2f} s; at rest {before}")
    for bound, rise, last in zip(growth.BOUNDS, growth.growths(samples), samples[-1].values, strict=True):
        print(f"{bound.name}: {last:.0f} {bound.unit}, {rise:+.2f} after the warm-up, {rise / minutes * 1.5:+.3f}/min")
    failures = early.failures + seen.failures
    past = [f"{len(failures)} acts failed; the first: {failures[0]}"] if failures else []
    if seen.slowest_health_s > HEALTH_WITHIN_S:
        past.append(f"a reader of health waited {seen.slowest_health_s:.1f} s, more than {HEALTH_WITHIN_S:g}")
    return past + growth.excesses(samples)


def kill(number: int, engine_name: str) -> list[str]:
    """Kills under streams: print how those ended, and return what was wrong."""
    tiny = {slot["model"]: models.chat() for slot in kills.SLOTS.values()}
    with (
        tempfile.TemporaryDirectory(prefix="hal0-kills-") as home,
        TARGETS[engine_name](max_loaded_models=2, models=tiny) as engine,
    ):
        kills.configure(Path(home))
        with hal0(engine.url, kills.SLOTS, Path(home)) as app:
            seen = kills.run(app, engine, number)
            traces.at_rest(app, engine)
    print(f"{seen.kills} kills; streams: {dict(seen.ends)}")
    return seen.failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--engine", choices=list(TARGETS), default="embedded")
    options = parser.parse_args()
    past = soak(options.minutes, options.engine) if options.minutes else []
    past += kill(options.kills, options.engine) if options.kills else []
    print("\n".join(f"PAST ITS BOUND: {one}" for one in past) or "within its bounds")
    return 1 if past else 0


if __name__ == "__main__":
    sys.exit(main())
