"""The two clocks of a Linux host."""

from __future__ import annotations

import time
from functools import partial

from hal0app.core.clock import Moment

# Seconds since boot, as `now` has them: asked for with every token.
tick = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


def now() -> Moment:
    """This moment: CLOCK_BOOTTIME (one for all processes, counts sleep, never stepped) and Unix seconds."""
    return Moment(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
