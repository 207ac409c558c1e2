"""The restart of hal0 that a person asks for: this process ends in good order, and the next one begins at once."""

from __future__ import annotations

from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.services.operations import new_id
from hal0app.services.ports import States
from hal0app.services.settings import SettingsDesk

KIND = "system.restart"


class Restart:
    """`end` has this process end after what it is doing; whoever started it starts another, with the files as they are.

    `id` is of this process, so that a page can tell it from the next one.
    """

    def __init__(self, end: Callable[[], None], desk: SettingsDesk, store: States, clock: Clock) -> None:
        self._end, self._desk, self._store, self._clock = end, desk, store, clock
        self._listeners: list[Callable[[], None]] = []
        self.id = new_id()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` (quick) when it begins."""
        self._listeners.append(listener)

    def begin(self, who: str) -> None:
        """Begin it. Raises `settings.invalid` when hal0 could not start with its files as they are."""
        self._desk.all()
        entry = Entry(self._clock().wall, KIND, f"hal0 is being restarted by {who}", agent=who)
        self._store.write_journal([entry])
        for listener in self._listeners:
            listener()
        self._end()
