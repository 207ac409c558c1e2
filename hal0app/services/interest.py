"""Something that is only worth the work while somebody looks: read again and again, but only for as long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hal0app.core.clock import Clock

log = logging.getLogger(__name__)

LASTING_S = 30.0


class Interest:
    """Shown by readers; `run`, in a thread of its own, carries out `look` meanwhile, every `period_s` seconds.

    A showing counts for `LASTING_S` seconds.
    """

    def __init__(self, clock: Clock, look: Callable[[], object], period_s: Callable[[], float]) -> None:
        self._clock, self._look, self._period_s = clock, look, period_s
        self._asked_at = float("-inf")
        self._news = threading.Event()
        self._stopping = False

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

    # -- the worker

    def run(self) -> None:
        """Look while anybody is interested, until stopped. A look that fails is told to the log."""
        while not self._stopping:
            if self.there:
                try:
                    self._look()
                except Exception:
                    log.exception("%s failed", getattr(self._look, "__qualname__", self._look))
            self._news.wait(self._period_s() if self.there else None)
            self._news.clear()

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._news.set()
