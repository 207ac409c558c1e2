"""hal0's own log, line by line, for whoever keeps it."""

from __future__ import annotations

import logging
from collections.abc import Callable

LOGGERS = ("hal0app", "gunicorn.error")


class LogTail(logging.Handler):
    """Hands every line to `tell(line, level)`; a trace is one line each."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        super().__init__()
        self._tell = tell
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises."""
        try:
            level = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= 30 else "info"
            for line in self.format(record).splitlines():
                self._tell(line, level)
        except Exception:  # noqa: BLE001 - a log that cannot be kept stops nobody
            self.handleError(record)


def listen(tell: Callable[[str, str], None]) -> None:
    """Hear this process's loggers from now on."""
    tail = LogTail(tell)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(tail)
