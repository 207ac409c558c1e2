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
# Percentiles by nearest rank: the value whose rank is p percent of the number of values, rounded up. Equal values are
# counted before they are ranked, for there are few different ones. SQLite does it without Python's lock, so that a
# hundred thousand rows stall nobody.
SUMMARY = """
WITH chosen AS (
    SELECT {by} AS key, error_code IS NOT NULL AND outcome != 'client_gone' AS error, tokens_in, tokens_out,
        status < 400 AS answered, total_ms, ttft_ms, tokens_per_s
    FROM request WHERE ts BETWEEN :since AND :until AND {by} IS NOT NULL
), counted AS (
    SELECT key, 'total' AS figure, total_ms AS value, count(*) AS number FROM chosen WHERE answered GROUP BY key, value
    UNION ALL
    SELECT key, 'ttft', ttft_ms AS value, count(*) FROM chosen WHERE answered GROUP BY key, value
    UNION ALL
    SELECT key, 'speed', tokens_per_s AS value, count(*) FROM chosen WHERE answered GROUP BY key, value
), ranked AS (
    SELECT key, figure, value, sum(number) OVER (PARTITION BY key, figure ORDER BY value) AS last,
        sum(number) OVER (PARTITION BY key, figure) AS number FROM counted WHERE value IS NOT NULL
), percentiles AS (
    SELECT key, figure, min(iif(last >= (number * 50 + 99) / 100, value, NULL)) AS p50,
        min(iif(last >= (number * 95 + 99) / 100, value, NULL)) AS p95 FROM ranked GROUP BY key, figure
), sums AS (
    SELECT key, count(*) AS requests, sum(error) AS errors,
        coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out FROM chosen GROUP BY key
)
SELECT sums.*, ttft.p50 AS ttft_p50, ttft.p95 AS ttft_p95, total.p50 AS total_p50, total.p95 AS total_p95,
    speed.p50 AS tokens_per_s
FROM sums
LEFT JOIN percentiles AS ttft ON ttft.key = sums.key AND ttft.figure = 'ttft'
LEFT JOIN percentiles AS total ON total.key = sums.key AND total.figure = 'total'
LEFT JOIN percentiles AS speed ON speed.key = sums.key AND speed.figure = 'speed'
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
