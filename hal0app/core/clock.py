"""Time as hal0 keeps it: a tick to order events by, and the wall clock to show them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Moment(NamedTuple):
    """`tick`: seconds since boot, the same clock in every process and never stepped. `wall`: Unix seconds, UTC."""

    tick: float
    wall: float


Clock = Callable[[], Moment]

NEVER = Moment(float("-inf"), 0.0)
