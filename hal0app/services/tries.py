"""How often an address may try a key: a few times a minute."""

from __future__ import annotations

from collections import deque

from hal0app.core.clock import Clock

TRIES = 5
WITHIN_S = 60.0
ADDRESSES = 1000  # remembered at most; the one that tried longest ago is forgotten first


class Tries:
    """Counts in memory; a restart forgets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tried: dict[str, deque[float]] = {}

    def take(self, address: str) -> bool:
        """Whether the address may try now; counted only when it may."""
        tick = self._clock().tick
        tried = self._tried.pop(address, None) or deque[float](maxlen=TRIES)
        self._tried[address] = tried
        while len(self._tried) > ADDRESSES:
            del self._tried[next(iter(self._tried))]
        if len(tried) == TRIES and tick - tried[0] < WITHIN_S:
            return False
        tried.append(tick)
        return True
