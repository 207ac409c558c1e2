"""The journal as it grows: entries after an id, as soon as they are there, whoever wrote them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from hal0app.core.journal import Entry
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import States

BATCH = 500
QUIET_S = 10.0


class Feed:
    """Wakes its followers when this process wrote an entry, and with every observation for what others wrote."""

    def __init__(self, store: States, observer: Observer) -> None:
        self._store = store
        self._news = threading.Condition()
        self._closed = False
        store.on_journal(self._wake)
        observer.subscribe(self._observed)

    def _observed(self, _: Snapshot) -> None:
        self._wake()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        """End every follower."""
        self._closed = True
        self._wake()

    def follow(self, since: int) -> Iterator[list[Entry]]:
        """Batches of entries with ids above `since`, without end; an empty one after some quiet seconds."""
        quiet = 0
        while not self._closed:
            if batch := self._store.journal(since, BATCH):
                since, quiet = batch[-1].id or since, 0
                yield batch
                continue
            with self._news:
                self._news.wait(1.0)
            quiet += 1
            if quiet >= QUIET_S:
                quiet = 0
                yield []

    def newest(self) -> int:
        """The id of the last entry, 0 while there is none."""
        last = self._store.journal(limit=1, newest=True)
        return (last[0].id or 0) if last else 0
