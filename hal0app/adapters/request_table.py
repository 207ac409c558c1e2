"""The table of request records in hal0.db: a ring, appended in batches, and what many of its rows come to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from hal0app.adapters import database
from hal0app.core.request_record import Filters, RequestRecord, Summary, Use

COLUMNS = tuple(one.name for one in fields(RequestRecord) if one.name != "seq")  # `ts` is the first
INTO = f"INSERT INTO request ({', '.join(COLUMNS)}) VALUES "  # noqa: S608 - fixed names
ROW = f"({', '.join('?' * len(COLUMNS))})"
# Many rows a statement: each execution gives Python's lock away and gets it back, against the loop that serves.
ROWS = 40  # 840 values; some SQLites take 999
CLAUSES = {
    "before": "seq < :before",
    "slot": "slot = :slot",
    "model": "model = :model",
    "agent": "agent = :agent",
    "status": "status BETWEEN :lowest AND :highest",
}
LAST_TTFT = (
    "SELECT slot, ttft_ms FROM request WHERE seq IN"
    " (SELECT max(seq) FROM request WHERE slot IS NOT NULL AND ttft_ms IS NOT NULL GROUP BY slot)"
)
# Percentiles by nearest rank: the value whose rank is p percent of the number of values, rounded up. SQLite does the
# sorting without Python's lock, so that a hundred thousand rows stall nobody.
SUMMARY = """
WITH chosen AS (
    SELECT {by} AS key, error_code IS NOT NULL AND outcome != 'client_gone' AS error, tokens_in, tokens_out,
        CASE WHEN status < 400 THEN total_ms END AS total, CASE WHEN status < 400 THEN ttft_ms END AS first,
        CASE WHEN status < 400 THEN tokens_per_s END AS speed
    FROM request WHERE ts BETWEEN :since AND :until AND {by} IS NOT NULL
), totals AS (
    SELECT key, total, row_number() OVER (PARTITION BY key ORDER BY total) AS place,
        count(*) OVER (PARTITION BY key) AS number FROM chosen WHERE total IS NOT NULL
), firsts AS (
    SELECT key, first, row_number() OVER (PARTITION BY key ORDER BY first) AS place,
        count(*) OVER (PARTITION BY key) AS number FROM chosen WHERE first IS NOT NULL
), speeds AS (
    SELECT key, speed, row_number() OVER (PARTITION BY key ORDER BY speed) AS place,
        count(*) OVER (PARTITION BY key) AS number FROM chosen WHERE speed IS NOT NULL
)
SELECT key, count(*) AS requests, sum(error) AS errors,
    coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out,
    ttft_p50, ttft_p95, total_p50, total_p95, tokens_per_s
FROM chosen
LEFT JOIN (SELECT key, max(iif(place = (number * 50 + 99) / 100, total, NULL)) AS total_p50,
    max(iif(place = (number * 95 + 99) / 100, total, NULL)) AS total_p95 FROM totals GROUP BY key) USING (key)
LEFT JOIN (SELECT key, max(iif(place = (number * 50 + 99) / 100, first, NULL)) AS ttft_p50,
    max(iif(place = (number * 95 + 99) / 100, first, NULL)) AS ttft_p95 FROM firsts GROUP BY key) USING (key)
LEFT JOIN (SELECT key, max(iif(place = (number * 50 + 99) / 100, speed, NULL)) AS tokens_per_s
    FROM speeds GROUP BY key) USING (key)
GROUP BY key
"""
_rest = attrgetter(*COLUMNS[1:])
USES = """
SELECT model, sum(ts >= :since) AS lately, max(ts) AS last FROM request
WHERE ts <= :until AND model IS NOT NULL AND status < 400 GROUP BY model
"""
Offload = Callable[[Callable[[], Any]], Any]


class RequestTable:
    """The newest `keep` records. The schema is the store's; `offload` says where the blocking happens, one at a time.

    Reading raises sqlite3.Error.
    """

    def __init__(self, path: Path, keep: int, offload: Offload = lambda work: work()) -> None:
        self._path, self._keep, self._offload = path, keep, offload
        self._connection: sqlite3.Connection | None = None

    def append(self, records: Sequence[RequestRecord]) -> bool:
        """Write them in one transaction; False when that is impossible for now (a full disk, a lock).

        Raises sqlite3.Error when it will not become possible.
        """
        done: bool = self._offload(lambda: self._append(records))
        return done

    def select(self, filters: Filters) -> list[RequestRecord]:
        """Records, newest first."""
        found: list[RequestRecord] = self._offload(lambda: self._select(filters))
        return found

    def summaries(self, since: float, until: float, by: str) -> dict[str, Summary]:
        """What the requests accepted from `since` to `until` (Unix seconds) come to, `by` slot or endpoint."""
        query = SUMMARY.format(by={"slot": "slot", "endpoint": "endpoint"}[by])
        window = {"since": round(since * 1000), "until": round(until * 1000)}
        found: dict[str, Summary] = self._offload(lambda: self._summaries(query, window))
        return found

    def uses(self, since: float, until: float) -> dict[str, Use]:
        """Every model that answered up to `until` (Unix seconds), with how many answers it gave from `since` on."""
        found: dict[str, Use] = self._offload(lambda: self._uses(round(since * 1000), round(until * 1000)))
        return found

    def last_ttft(self) -> dict[str, int]:
        """The last known time to the first token of every slot, in milliseconds."""
        found: dict[str, int] = self._offload(lambda: {row[0]: row[1] for row in self._db().execute(LAST_TTFT)})
        return found

    def close(self) -> None:
        """Close the database."""
        self._offload(self._close)

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.connect(self._path)
            self._connection.row_factory = sqlite3.Row
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _append(self, records: Sequence[RequestRecord]) -> bool:
        try:
            db = self._db()
            db.execute("BEGIN IMMEDIATE")
            try:
                for first in range(0, len(records), ROWS):
                    some = [_values(one) for one in records[first : first + ROWS]]
                    db.execute(INTO + ", ".join([ROW] * len(some)), list(chain.from_iterable(some)))
                newest = db.execute("SELECT max(seq) FROM request").fetchone()[0] or 0
                db.execute("DELETE FROM request WHERE seq <= ?", (newest - self._keep,))
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError:
            return False
        return True

    def _select(self, filters: Filters) -> list[RequestRecord]:
        lowest, highest = filters.status or (None, None)
        wanted = [name for name in CLAUSES if getattr(filters, name) is not None]
        clauses = " AND ".join(["seq > :since", "seq % :every = 0", *(CLAUSES[name] for name in wanted)])
        query = f"SELECT * FROM request WHERE {clauses} ORDER BY seq DESC LIMIT :limit"  # noqa: S608 - fixed clauses
        values = {**filters.__dict__, "lowest": lowest, "highest": highest}
        values.pop("status")
        return [_record(row) for row in self._db().execute(query, values)]

    def _uses(self, since: int, until: int) -> dict[str, Use]:
        rows = self._db().execute(USES, {"since": since, "until": until})
        return {model: Use(lately, last / 1000) for model, lately, last in rows}

    def _summaries(self, query: str, window: dict[str, int]) -> dict[str, Summary]:
        rows = [dict(row) for row in self._db().execute(query, window)]
        return {row.pop("key"): Summary(**row) for row in rows}


def _values(record: RequestRecord) -> list[Any]:
    return [round(record.ts * 1000), *_rest(record)]


def _record(row: sqlite3.Row) -> RequestRecord:
    flags = {"estimated": bool(row["estimated"]), "replayed": bool(row["replayed"])}
    return RequestRecord(**{**dict(row), **flags, "ts": row["ts"] / 1000})
