"""A turn for everybody else in the middle of work that never waits."""

from __future__ import annotations

import time

SLICE_S = 0.005


class Breath:
    """Call it between two pieces of work: it lets the others go on once the work has taken `SLICE_S`."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._since > SLICE_S:
            time.sleep(0)
            self._since = time.monotonic()
