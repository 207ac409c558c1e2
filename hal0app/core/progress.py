"""How a download goes on, out of what was counted lately: its speed, what is left, and whether it stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 15.0
STALL_S = 10.0


@dataclass(frozen=True)
class Progress:
    """`rate` in bytes a second and `left_s` in seconds are None while not known or standing still (`stalled_s`)."""

    rate: float | None = None
    left_s: int | None = None
    stalled_s: int | None = None


NO_PROGRESS = Progress()


def progress(samples: Sequence[tuple[float, int]], total: int, now: float) -> Progress:
    """`samples`: (tick in seconds, bytes there), oldest first; bytes that were there before the first do not count."""
    if len(samples) < 2:
        return NO_PROGRESS
    _, done = samples[-1]
    changed = next(tick for tick, there in samples if there == done)
    if now - changed >= STALL_S:
        return Progress(stalled_s=int(now - changed))
    lately = [sample for sample in samples if now - sample[0] <= WINDOW_S] or list(samples[-2:])
    (since, before), (until, _) = lately[0], lately[-1]
    rate = (done - before) / (until - since) if until > since else 0.0
    if rate <= 0:
        return NO_PROGRESS
    return Progress(rate, round((total - done) / rate) if total > done else None)
