"""The engine's log in lemond's own words, for those who follow it at `/logs/stream`.

The wording is that of 2026.39.1; what hal0 reads of it is in `hal0app/core/lemond_log.py`, and
`tests/contract/test_logs.py` holds both to the real daemon.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

KEPT = 1000

Entry = dict[str, Any]


class Log:
    """The latest lines, and the queues of those who follow. Thread-safe; `write` never waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._written = 0
        self._followers: list[queue.SimpleQueue[Entry]] = []

    def info(self, tag: str, text: str) -> None:
        self.write("Info", tag, text)

    def error(self, tag: str, text: str) -> None:
        self.write("Error", tag, text)

    def write(self, severity: str, tag: str, text: str) -> None:
        """Add an entry for each line of `text`; `tag` is the part of lemond that says it."""
        stamp = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        with self._lock:
            for line in text.splitlines():
                self._written += 1
                whole = f"{stamp} [{severity}] ({tag}) {line}"
                self._add({"line": whole, "seq": self._written, "severity": severity, "tag": tag, "timestamp": stamp})

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        for follower in self._followers:
            follower.put(entry)

    @contextmanager
    def followed(self) -> Iterator[tuple[list[Entry], queue.SimpleQueue[Entry]]]:
        """The lines so far, and a queue of all later ones while the block runs; none is missed or told twice."""
        follower: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        with self._lock:
            self._followers.append(follower)
            before = list(self._entries)
        try:
            yield before, follower
        finally:
            with self._lock:
                self._followers.remove(follower)
