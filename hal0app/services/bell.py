"""Something that happens once, waited for also by requests, whose clients may leave meanwhile."""

from __future__ import annotations

import threading

from hal0app.core.upstream import Aborted
from hal0app.services.commit import failure
from hal0app.services.ports import Client


class Bell:
    """An event, as those of `threading`, that a wait for a client's sake need not outlast that client."""

    def __init__(self) -> None:
        self._rung = False
        self._waiting: set[threading.Event] = set()

    def set(self) -> None:
        """It has happened: all who wait go on."""
        self._rung = True
        for one in list(self._waiting):
            one.set()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._rung

    def wait(self, wait_s: float | None = None, client: Client | None = None) -> bool:
        """Whether it has happened, after at most `wait_s` seconds.

        Raises `client.gone`, or `system.stopping`, when `client` leaves before that.
        """
        news = threading.Event()
        self._waiting.add(news)
        forget = client.on_gone(news.set) if client is not None else lambda: None
        try:
            happened = self._rung or news.wait(wait_s)
        finally:
            forget()
            self._waiting.discard(news)
        if happened and not self._rung and client is not None:
            raise failure(Aborted(), client)
        return self._rung
