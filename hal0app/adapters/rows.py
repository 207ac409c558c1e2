"""Rows of hal0.db to the core's values and back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import Any

from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.operation import Cause, Evidence, Kind, Operation, Status
from hal0app.core.reasons import Reason
from hal0app.core.residency import NOTHING_SEEN, Link, Observation, Resident
from hal0app.core.slot import Record, State


def record(row: sqlite3.Row) -> Record:
    return Record(**{**dict(row), "state": State(row["state"]), "reason": Reason(row["reason"])})


def operation(row: sqlite3.Row) -> Operation:
    finished = row["finished_tick"]
    return Operation(
        id=row["id"],
        kind=Kind(row["kind"]),
        model=row["model"],
        slot=row["slot"],
        cause=Cause(**json.loads(row["cause"])),
        started=Moment(row["started_tick"], row["started_wall"]),
        status=Status(row["status"]),
        owner=row["owner"],
        heartbeat=Moment(row["heartbeat_tick"], row["started_wall"]),
        finished=None if finished is None else Moment(finished, row["finished_wall"]),
        error_code=row["error_code"],
        error_message=row["error_message"],
        options=row["options"],
        result=json.loads(row["result"]),
    )


def operation_values(one: Operation) -> dict[str, Any]:
    finished = one.finished
    return {
        "id": one.id,
        "kind": one.kind,
        "model": one.model,
        "slot": one.slot,
        "cause": json.dumps(one.cause.as_json()),
        "options": one.options,
        "status": one.status,
        "owner": one.owner,
        "started_tick": one.started.tick,
        "started_wall": one.started.wall,
        "heartbeat_tick": (one.heartbeat or one.started).tick,
        "finished_tick": finished.tick if finished else None,
        "finished_wall": finished.wall if finished else None,
        "error_code": one.error_code,
        "error_message": one.error_message and storable(one.error_message),
        "result": json.dumps(one.result),
    }


def evidence(row: sqlite3.Row) -> Evidence:
    return Evidence(row["model"], row["kind"], Moment(row["seen_tick"], row["seen_wall"]), json.loads(row["data"]))


def entry(row: sqlite3.Row) -> Entry:
    return Entry(**{**dict(row), "ts": row["ts"] / 1000, "data": json.loads(row["data"])})


def entry_values(one: Entry) -> dict[str, Any]:
    values = {key: value for key, value in asdict(one).items() if key != "id"}
    return {
        **{key: storable(value) if isinstance(value, str) else value for key, value in values.items()},
        "ts": round(one.ts * 1000),
        "data": json.dumps(one.data),
    }


def storable(text: str) -> str:
    """Text without halves of characters, which JSON may carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def residency_text(seen: Observation) -> str:
    return json.dumps({**asdict(seen), "taken": list(seen.taken), "capacity": dict(seen.capacity)})


def residency(text: str) -> Observation:
    """The stored observation."""
    data = json.loads(text)
    taken = Moment(*data.pop("taken"))
    residents = tuple(Resident(**one) for one in data.pop("residents"))
    return Observation(taken=taken, link=Link(data.pop("link")), residents=residents, **data)


NO_RESIDENCY = residency_text(NOTHING_SEEN)
