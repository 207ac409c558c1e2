"""Whether anybody looks at something that is only worth the work while somebody does."""

from __future__ import annotations

import threading

from hal0app.core.clock import Clock

LASTING_S = 30.0


class Interest:
    """Asked for by readers, waited for by the worker that looks. An asking counts for `LASTING_S` seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_at = float("-inf")
        self._news = threading.Event()

    def show(self) -> None:
        """Somebody looks; cheap, so that it can be called for every reading."""
        if self._clock().tick - self._asked_at > LASTING_S / 2:
            self.wake()

    def wake(self) -> None:
        """Somebody looks, and wants it looked at now."""
        self._asked_at = self._clock().tick
        self._news.set()

    def nudge(self) -> None:
        """Something changed: look now, if anybody does."""
        if self.there:
            self._news.set()

    @property
    def there(self) -> bool:
        """Whether somebody looked lately."""
        return self._clock().tick - self._asked_at <= LASTING_S

    def wait(self, period_s: float) -> None:
        """Until it is time for the next look: `period_s` while anybody is interested, else until somebody is."""
        self._news.wait(period_s if self.there else None)
        self._news.clear()

    def stop(self) -> None:
        """End a wait."""
        self._news.set()
