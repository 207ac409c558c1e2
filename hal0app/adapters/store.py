"""hal0.db: SQLite in WAL mode, shared by the API and the drift checker.

Every write is one short transaction. `offload` says where the blocking happens: under gevent on a thread of the
hub's pool, elsewhere in place; it must run one call at a time.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hal0app.adapters import database, host, journal_table, rows
from hal0app.adapters.files import locked
from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.operation import Evidence, Operation
from hal0app.core.reconcile import Past, Recorded
from hal0app.core.residency import Link
from hal0app.core.settings import Retention
from hal0app.core.settlement import Outcome
from hal0app.core.slot import Record

T = TypeVar("T")
Offload = Callable[[Callable[[], T]], T]

RECENT_OPERATIONS = 1000  # more than models and kinds of operations there are on a machine
SCHEMA = Path(__file__).with_name("schema.sql")
VERSION = 3  # of the schema; every table is made if it is not there

SAVE_OPERATION = (
    "INSERT OR REPLACE INTO operation VALUES (:id, :kind, :model, :slot, :cause, :options, :status, :owner,"
    " :started_tick, :started_wall, :heartbeat_tick, :finished_tick, :finished_wall, :error_code, :error_message,"
    " :result)"
)
# A row's id grows with every save, so the greatest is the one that ended last, whatever the wall clock did.
RECENT = (
    "SELECT * FROM operation WHERE status = 'running' OR rowid IN"
    " (SELECT max(rowid) FROM operation WHERE status != 'running' GROUP BY model, kind) ORDER BY rowid DESC LIMIT ?"
)
# Ticks count from the machine's start: after another start all older ones lie in the past, nothing is under way, what
# was proven is stale, and lemond went down with the machine.
REBOOT = """BEGIN IMMEDIATE;
UPDATE operation SET started_tick = -9e999, heartbeat_tick = -9e999, finished_tick = -9e999;
UPDATE operation SET status = 'failed', error_code = 'system.interrupted', finished_wall = started_wall,
    error_message = 'the machine was restarted meanwhile' WHERE status = 'running';
DELETE FROM evidence WHERE kind NOT IN ('crash_loop', 'quarantine');
UPDATE evidence SET seen_tick = -9e999;
UPDATE lemond SET link = 'down', residency = json_set(residency, '$.taken[0]', 0);
DELETE FROM boot;
INSERT INTO boot VALUES ('{boot}');
COMMIT;"""
SAVE_RESIDENCY = (
    "INSERT INTO lemond VALUES (1, 'up', :wall, :text) ON CONFLICT (id) DO UPDATE SET residency = excluded.residency"
)
SAVE_LINK = (
    "INSERT INTO lemond VALUES (1, :link, :wall, :text)"
    " ON CONFLICT (id) DO UPDATE SET link = excluded.link, link_since = excluded.link_since"
)


class _InPlace:
    """Runs blocking calls where they are made, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __call__(self, work: Callable[[], T]) -> T:
        with self._lock:
            return work()


class Store:
    """States, operations, evidence and the journal."""

    def __init__(
        self,
        path: Path,
        retention: Retention,
        offload: Callable[[Callable[[], Any]], Any] | None = None,
        boot: str | None = None,
    ) -> None:
        self._offload = offload or _InPlace()
        self._retention = retention
        self._listeners: list[Callable[[], None]] = []
        self._path = path
        self._problem: str | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = database.connect(path)
        with locked(path.with_name(f"{path.name}.lock")):
            self._prepare(host.boot_id() if boot is None else boot)
        self._db.row_factory = sqlite3.Row

    def _prepare(self, boot: str) -> None:
        """Make the tables; one process at a time, for SQLite does not wait for the switch to WAL."""
        self._db.execute("PRAGMA journal_mode = WAL")
        if self._db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA.read_text()} PRAGMA user_version = {VERSION}; COMMIT;")
        if self._db.execute("SELECT id FROM boot").fetchone() != (boot,):
            self._db.executescript(REBOOT.format(boot=boot))

    def close(self) -> None:
        """Close the database; the store is of no use after."""
        self._offload(self._db.close)

    def on_journal(self, listener: Callable[[], None]) -> None:
        """Call `listener` (quick, no IO) after this process wrote journal entries."""
        self._listeners.append(listener)

    # -- reconciliation

    def settle(self, decide: Callable[[Past], Outcome], now: Moment) -> Outcome:
        """Carry out `decide` on the past, atomically: what it decided was decided on exactly what is stored.

        Nothing is written, and no write lock taken, when the outcome is empty.
        """
        outcome: Outcome = self._offload(lambda: self._settle(decide, now))
        self._tell(outcome.entries)
        return outcome

    def _settle(self, decide: Callable[[Past], Outcome], now: Moment) -> Outcome:
        """As `settle`; while the database cannot be written (a full disk), what was decided is told unwritten."""
        decided = decide(self._past(now))
        if decided.empty:
            return decided

        def write() -> Outcome:
            outcome = decide(self._past(now))
            self._write(outcome, now)
            return outcome

        written: Outcome | None = self._written(write)
        return replace(decided, entries=()) if written is None else written

    def past(self, now: Moment) -> Past:
        """The past as it is now."""
        past: Past = self._offload(lambda: self._past(now))
        return past

    def _past(self, now: Moment) -> Past:
        records = {row["slot"]: rows.record(row) for row in self._db.execute("SELECT * FROM slot_state")}
        seen = self._db.execute("SELECT * FROM lemond").fetchone()
        recorded = Recorded(records)
        if seen is not None:
            recorded = Recorded(records, rows.residency(seen["residency"]), Link(seen["link"]), seen["link_since"])
        evidence = tuple(rows.evidence(row) for row in self._db.execute("SELECT * FROM evidence"))
        return Past(recorded, self._recent_operations(), evidence)

    def _recent_operations(self) -> tuple[Operation, ...]:
        """Those under way, and the last of every kind for every model, latest first."""
        return tuple(rows.operation(row) for row in self._db.execute(RECENT, (RECENT_OPERATIONS,)))

    def _write(self, outcome: Outcome, now: Moment) -> None:
        for change in outcome.transitions:
            self._write_record(change.after, change.before.version)
        for slot in outcome.forgotten:
            self._db.execute("DELETE FROM slot_state WHERE slot = ?", (slot,))
        if outcome.residency is not None or outcome.link is not None:
            self._write_lemond(outcome, now)
        journal_table.append(self._db, outcome.entries, self._retention.journal)

    def _write_record(self, record: Record, expected: int) -> None:
        values = {**record.__dict__, "expected": expected}
        done = self._db.execute(
            "INSERT INTO slot_state VALUES (:slot, :state, :reason, :message, :since, :stale_since, :model,"
            " :displaced_by, :loads, :evictions, :version)"
            " ON CONFLICT (slot) DO UPDATE SET state = :state, reason = :reason, message = :message, since = :since,"
            " stale_since = :stale_since, model = :model, displaced_by = :displaced_by, loads = :loads,"
            " evictions = :evictions, version = :version WHERE version = :expected",
            values,
        )
        if done.rowcount != 1:
            raise sqlite3.IntegrityError(f"the record of slot {record.slot} changed under the transaction")

    def _write_lemond(self, outcome: Outcome, now: Moment) -> None:
        if outcome.residency is not None:
            self._db.execute(SAVE_RESIDENCY, {"wall": now.wall, "text": rows.residency_text(outcome.residency)})
        if outcome.link is not None:
            self._db.execute(SAVE_LINK, {"link": outcome.link, "wall": now.wall, "text": rows.NO_RESIDENCY})

    # -- operations and evidence

    def save_operation(self, operation: Operation, entries: Sequence[Entry] = ()) -> None:
        """Insert or replace one operation, with the entries that tell of it; lost while nothing can be written."""

        def write() -> None:
            self._db.execute(SAVE_OPERATION, rows.operation_values(operation))
            journal_table.append(self._db, entries, self._retention.journal)
            self._db.execute(
                "DELETE FROM operation WHERE status != 'running'"
                " AND rowid NOT IN (SELECT rowid FROM operation ORDER BY rowid DESC LIMIT ?)"
                " AND rowid NOT IN (SELECT max(rowid) FROM operation GROUP BY model, kind)",
                (self._retention.operations,),
            )

        self._offload(lambda: self._written(write))
        self._tell(entries)

    def heartbeat(self, operation_id: str, now: Moment) -> None:
        """Say that somebody still works on the operation."""
        statement = "UPDATE operation SET heartbeat_tick = ? WHERE id = ? AND status = 'running'"
        self._offload(lambda: self._written(lambda: self._db.execute(statement, (now.tick, operation_id))))

    def operation(self, operation_id: str) -> Operation | None:
        """One operation by id."""

        def read() -> Operation | None:
            row = self._db.execute("SELECT * FROM operation WHERE id = ?", (operation_id,)).fetchone()
            return None if row is None else rows.operation(row)

        found: Operation | None = self._offload(read)
        return found

    def save_evidence(self, evidence: Evidence) -> None:
        """Keep the latest proof of its kind for a model."""
        values = (evidence.model, evidence.kind, evidence.seen.tick, evidence.seen.wall, json.dumps(evidence.data))
        statement = "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?)"
        self._offload(lambda: self._written(lambda: self._db.execute(statement, values)))

    def proofs(self, kind: str) -> list[Evidence]:
        """All proofs of a kind."""
        query = "SELECT * FROM evidence WHERE kind = ? ORDER BY model"
        found: list[Evidence] = self._offload(lambda: [rows.evidence(row) for row in self._db.execute(query, (kind,))])
        return found

    def forget_evidence(self, model: str, *kinds: str) -> None:
        """Forget the proofs of these kinds about a model."""
        statement = "DELETE FROM evidence WHERE model = ? AND kind = ?"
        each = [(model, kind) for kind in kinds]
        self._offload(lambda: self._written(lambda: self._db.executemany(statement, each)))

    # -- findings

    def keep_findings(self, kind: str, found: Mapping[str, str], now: Moment, source: str) -> list[Entry]:
        """Make `found` (key -> text) the findings of this kind; returns, and journals, those that are new."""

        def write() -> list[Entry]:
            rows_before = self._db.execute("SELECT key, text FROM finding WHERE kind = ?", (kind,)).fetchall()
            known = {row["key"]: row["text"] for row in rows_before}
            fresh = {key: text for key, text in found.items() if known.get(key) != text}
            entries = [Entry(now.wall, kind, text, "warning", source, data={"key": key}) for key, text in fresh.items()]
            for key in known.keys() - found.keys():
                self._db.execute("DELETE FROM finding WHERE kind = ? AND key = ?", (kind, key))
            for key, text in fresh.items():
                self._db.execute("INSERT OR REPLACE INTO finding VALUES (?, ?, ?, ?)", (kind, key, text, now.wall))
            journal_table.append(self._db, entries, self._retention.journal)
            return entries

        entries: list[Entry] = self._offload(lambda: self._written(write)) or []
        self._tell(entries)
        return entries

    def findings(self) -> list[dict[str, Any]]:
        """What is wrong at the moment: kind, key, text, since (Unix seconds)."""
        query = "SELECT * FROM finding ORDER BY since"
        found: list[dict[str, Any]] = self._offload(lambda: [dict(row) for row in self._db.execute(query)])
        return found

    # -- journal

    def write_journal(self, entries: Sequence[Entry]) -> None:
        """Append entries; lost while nothing can be written."""
        keep = self._retention.journal
        self._offload(lambda: self._written(lambda: journal_table.append(self._db, entries, keep)))
        self._tell(entries)

    def journal(self, since: int = 0, limit: int = 200, newest: bool = False, **equals: str | None) -> list[Entry]:
        """Entries with an id above `since`, oldest first; see `journal_table.select`."""
        found: list[Entry] = self._offload(lambda: journal_table.select(self._db, since, limit, newest, **equals))
        return found

    def _written(self, work: Callable[[], T]) -> T | None:
        """The result of `work`, done in a transaction; None, remembered and logged once, while that is impossible."""
        try:
            result = self._transaction(work)
        except sqlite3.OperationalError as problem:
            if self._problem is None:
                import logging  # here, for `hal0 drift` must start fast

                logging.getLogger(__name__).error("%s cannot be written: %s", self._path, problem)  # noqa: TRY400
                self._problem = f"{self._path} could not be written: {problem}"
            return None
        if self._problem is not None:
            told, self._problem = self._problem, None
            entry = Entry(time.time(), "system.storage", f"{told}; it is written again", "error")
            self._transaction(lambda: journal_table.append(self._db, [entry], self._retention.journal))
        return result

    @property
    def problem(self) -> str | None:
        """Why nothing can be written now; None when it can."""
        return self._problem

    def _transaction(self, work: Callable[[], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return result

    def _tell(self, entries: Sequence[Entry]) -> None:
        if entries:
            for listener in self._listeners:
                listener()
