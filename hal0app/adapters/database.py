"""How hal0.db is opened, by whoever has tables in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

BUSY_TIMEOUT_S = 2.0
CACHE_KIB = 512  # of pages that a connection keeps; SQLite's own would grow to 2 MB each


def connect(path: Path) -> sqlite3.Connection:
    """A connection for any thread, for one at a time; every statement is a transaction of its own.

    It waits for BUSY_TIMEOUT_S while others write, and leaves it to the system when a commit reaches the disk: after a
    power cut the last ones may be missing, nothing is half-written. Raises sqlite3.Error.
    """
    made = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    made.execute("PRAGMA synchronous = NORMAL")
    made.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return made
