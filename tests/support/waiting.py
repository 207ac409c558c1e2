"""Waiting for a condition instead of sleeping for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str = "", within: float = 60.0, every: float = 0.02) -> T:
    """Call `probe` until it returns something true and return that; AssertionError after `within` seconds.

    An OSError (refused connection, timeout) or AssertionError of the probe counts as "not yet".
    """
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            value = probe()
        except (OSError, AssertionError) as error:
            last = error
        else:
            if value:
                return value
            last = value
        time.sleep(every)
    raise AssertionError(f"not within {within:g} s: {what or probe!r} (last: {last!r})")
