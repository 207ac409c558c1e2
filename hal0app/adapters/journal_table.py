"""The journal's table: append with a bounded length, and read with filters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hal0app.adapters import rows
from hal0app.core.journal import Entry

INSERT = (
    "INSERT INTO journal (ts, kind, level, source, slot, model, message, data, agent, operation) VALUES"
    " (:ts, :kind, :level, :source, :slot, :model, :message, :data, :agent, :operation)"
)
CLAUSES = {
    "slot": "slot = :slot",
    "kind": "kind = :kind",
    "level": "level = :level",
    "source": "source = :source",
    "worse": "level != 'info' AND :worse != ''",
    "before": "id < :before",
    "after": "ts >= CAST(:after AS REAL)",
    "q": "instr(lower(message), lower(:q)) > 0",
}


def append(db: sqlite3.Connection, entries: Iterable[Entry], keep: int) -> None:
    """Write `entries` and drop what is older than the newest `keep`."""
    last = 0
    for one in entries:
        last = db.execute(INSERT, rows.entry_values(one)).lastrowid or 0
    if last:
        db.execute("DELETE FROM journal WHERE id <= ?", (last - keep,))


def select(
    db: sqlite3.Connection, since: int = 0, limit: int = 200, newest: bool = False, **filters: str | None
) -> list[Entry]:
    """Entries with an id above `since`, oldest first; `newest` takes the last `limit` of them.

    `filters` are columns (slot, kind, level, source), `q`, a part of the message, `before`, an id, `after`, Unix
    seconds, or `worse`: whatever is not info. Empty ones do not filter.
    """
    wanted = {key: value for key, value in filters.items() if value}
    clauses = " AND ".join(["id > :since", *(CLAUSES[key] for key in wanted)])
    order = "DESC" if newest else "ASC"
    query = f"SELECT * FROM journal WHERE {clauses} ORDER BY id {order} LIMIT :limit"  # noqa: S608 - fixed clauses
    found = [rows.entry(row) for row in db.execute(query, {**wanted, "since": since, "limit": limit})]
    return found[::-1] if newest else found
