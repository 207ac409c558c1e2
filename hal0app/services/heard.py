"""The newest lines of a log, Lemonade's or hal0's own, kept in memory for a person to read."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hal0app.core.clock import Clock

KEEP = 1000
LONGEST = 2000
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_LEVELS = (
    ("error", re.compile(r"\[(?:error|fatal|critical)\]", re.I)),
    ("warning", re.compile(r"\[warn(?:ing)?\]", re.I)),
)


@dataclass(frozen=True)
class Line:
    """One line. `number` grows, also over a restart of hal0; `at`: when it was heard (Unix seconds)."""

    number: int
    at: float
    level: str
    text: str


class Heard:
    """The last `KEEP` lines. `following` tells whether the log is followed now, so that its silence means something."""

    def __init__(self, clock: Clock, following: Callable[[], bool]) -> None:
        self._clock, self.following = clock, following
        self._lines: deque[Line] = deque(maxlen=KEEP)
        self._count = round(clock().wall * 1000)
        self._lock = threading.Lock()

    def hear(self, line: str, level: str = "") -> None:
        """Keep a line, without what would move a terminal's cursor. An empty `level` is read from it."""
        text = _ANSI.sub("", line)[:LONGEST]
        level = level or next((name for name, pattern in _LEVELS if pattern.search(text)), "info")
        with self._lock:
            self._count += 1
            self._lines.append(Line(self._count, self._clock().wall, level, text))

    def lines(self) -> list[Line]:
        """What is kept, oldest first."""
        with self._lock:
            return list(self._lines)
