"""What loads were measured to use, in a table of its own in hal0.db."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hal0app.adapters import database

log = logging.getLogger(__name__)

TABLE = (
    "CREATE TABLE IF NOT EXISTS memory_use"
    " (model TEXT NOT NULL, options TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (model, options)) STRICT"
)
PUT = "INSERT OR REPLACE INTO memory_use VALUES (?, ?, ?)"
GET = "SELECT bytes FROM memory_use WHERE model = ? AND options = ?"

Offload = Callable[[Callable[[], Any]], Any]


class MemoryUseTable:
    """Opens the database for each call, off the hub by `offload`. When it fails, only knowledge is lost."""

    def __init__(self, path: Path, offload: Offload = lambda work: work()) -> None:
        self._path, self._offload = path, offload

    def get(self, model: str, options: str) -> int | None:
        """The bytes that the last load of `model` with these options used; None when none was measured."""
        row = self._offload(lambda: self._run(GET, (model, options)))
        return None if row is None else int(row[0])

    def put(self, model: str, options: str, size: int) -> None:
        """Keep `size` bytes for the next time."""
        self._offload(lambda: self._run(PUT, (model, options, size)))

    def _run(self, statement: str, values: tuple[Any, ...]) -> Any:
        """The first row, if there is one."""
        try:
            with closing(database.connect(self._path)) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(TABLE)
                return db.execute(statement, values).fetchone()
        except sqlite3.Error as problem:
            log.warning("memory_use in %s: %s", self._path, problem)
            return None
