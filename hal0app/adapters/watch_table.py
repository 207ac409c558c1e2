"""What the watchdog remembers from run to run, in a table of its own in hal0.db."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from hal0app.adapters import database, host
from hal0app.core.watchdog import Watch, after_reboot

TABLE = (
    "CREATE TABLE IF NOT EXISTS watchdog"
    " (id INTEGER PRIMARY KEY CHECK (id = 1), boot TEXT NOT NULL, watch TEXT NOT NULL) STRICT"
)
PUT = "INSERT OR REPLACE INTO watchdog VALUES (1, ?, ?)"


class WatchTable:
    """Opens the database for each call. Raises sqlite3.Error: without a memory nothing may be restarted."""

    def __init__(self, path: Path, boot: str | None = None) -> None:
        self._path, self._boot = path, host.boot_id() if boot is None else boot

    def get(self) -> Watch:
        """What the last run left."""
        row = self._run("SELECT boot, watch FROM watchdog")
        if row is None:
            return Watch()
        watch = msgspec.json.decode(row[1], type=Watch)
        return watch if row[0] == self._boot else after_reboot(watch)

    def put(self, watch: Watch) -> None:
        """Keep it for the next run."""
        self._run(PUT, (self._boot, msgspec.json.encode(watch).decode()))

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        """The first row, if there is one."""
        with closing(database.connect(self._path)) as db:
            db.execute(TABLE)
            return db.execute(statement, values).fetchone()
