"""The one control call that lemond may have at a time, host-wide: a load or an unload, never a drain or a wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from hal0app.core.clock import NEVER, Clock, Moment


class Call(NamedTuple):
    """What is being done to a model: `loading`, `unloading`, `reloading`, `swapping to`."""

    doing: str
    model: str


NOBODY = Call("", "")


class Turn:
    """Who holds it may call. `ended` is when the latest call ended: what was seen before that may be out of date.

    `holder` is what is called now, empty when nothing is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._taken = False
        self._stirred = 0
        self._waiting: Counter[str] = Counter()
        self.holder = NOBODY
        self.ended: Moment = NEVER

    @contextmanager
    def take(self, check: Callable[[], None], call: Call) -> Iterator[None]:
        """Wait for the turn and hold it; `check` raises when the wait is to end, and is asked again after `stir`."""
        self._wait(check, call.model, take=True)
        self.holder = call
        try:
            yield
        finally:
            with self._changed:
                self._taken, self.holder = False, NOBODY
                self.ended = self._clock()
                self._changed.notify_all()

    def free(self, check: Callable[[], None], model: str) -> None:
        """Wait, for a call about `model`, until nobody holds it, without taking it."""
        self._wait(check, model, take=False)

    def before(self, model: str) -> Call:
        """What a call about `model` waits for; NOBODY when none waits."""
        return self.holder if self._waiting[model] else NOBODY

    def stir(self) -> None:
        """Let all who wait ask again whether they still should."""
        with self._changed:
            self._stirred += 1
            self._changed.notify_all()

    def _wait(self, check: Callable[[], None], model: str, take: bool) -> None:
        self._waiting[model] += 1
        try:
            self._until_free(check, take)
        finally:
            self._waiting[model] -= 1

    def _until_free(self, check: Callable[[], None], take: bool) -> None:
        while True:
            stirred = self._stirred
            check()
            with self._changed:
                while self._taken and stirred == self._stirred:
                    self._changed.wait()
                if not self._taken:
                    self._taken = take
                    return
