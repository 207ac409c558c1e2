"""adapters/request_table: a ring of records, filters, percentiles, and a full disk that loses nothing but records."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters.request_table import RequestTable
from hal0app.adapters.store import Store
from hal0app.core.request_record import Filters, RequestRecord, Summary, Use
from hal0app.core.settings import Retention

KEEP = 50


@pytest.fixture
def table(tmp_path: Path) -> Iterator[RequestTable]:
    path = tmp_path / "hal0.db"
    store, made = Store(path, Retention()), RequestTable(path, KEEP)
    yield made
    made.close()
    store.close()


def record(number: int = 0, **facts: Any) -> RequestRecord:
    return RequestRecord(
        ts=1000.0 + number,
        id=f"req-{number}",
        endpoint=facts.pop("endpoint", "chat/completions"),
        status=facts.pop("status", 200),
        outcome=facts.pop("outcome", "complete"),
        total_ms=facts.pop("total_ms", 10),
        **facts,
    )


FULL = record(
    1,
    client="10.0.0.7",
    agent="shell",
    slot="primary",
    model="m",
    route="slot",
    path="direct",
    queue_ms=1,
    load_ms=2,
    ttft_ms=3,
    tokens_in=4,
    tokens_out=5,
    estimated=True,
    tokens_per_s=6.5,
    error_code="x.y",
    replayed=True,
)


def test_a_batch_does_not_wait_for_the_disk(table: RequestTable) -> None:
    assert table.append([record()])
    assert table._db().execute("PRAGMA synchronous").fetchone()[0] == 1  # NORMAL
    assert table._db().execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_record_comes_back_as_it_was(table: RequestTable) -> None:
    assert table.append([FULL, record(2)])
    assert table.select(Filters()) == [replace(record(2), seq=2), replace(FULL, seq=1)]


def test_the_oldest_records_make_room(table: RequestTable) -> None:
    for start in range(0, 3 * KEEP, 10):
        table.append([record(number) for number in range(start, start + 10)])
    kept = table.select(Filters(limit=1000))
    assert [one.id for one in kept] == [f"req-{number}" for number in reversed(range(2 * KEEP, 3 * KEEP))]


def test_a_batch_larger_than_the_ring_keeps_its_newest(table: RequestTable) -> None:
    table.append([record(number) for number in range(2 * KEEP)])
    assert len(table.select(Filters(limit=1000))) == KEEP


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (Filters(slot="a"), [3, 1]),
        (Filters(model="n"), [2]),
        (Filters(agent="x"), [1]),
        (Filters(status=(500, 599)), [3]),
        (Filters(slot="a", status=(200, 200)), [1]),
        (Filters(since=2), [3]),
        (Filters(before=3, limit=1), [2]),
        (Filters(limit=2), [3, 2]),
        (Filters(slot="' OR 1=1 --"), []),
    ],
)
def test_filters_choose(table: RequestTable, filters: Filters, ids: list[int]) -> None:
    table.append([record(1, slot="a", agent="x"), record(2, slot="b", model="n"), record(3, slot="a", status=503)])
    assert [one.id for one in table.select(filters)] == [f"req-{number}" for number in ids]


def rank(values: list[int], percent: int) -> int:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


@pytest.mark.parametrize("number", [1, 2, 3, 7, 20, 49])
def test_percentiles_are_those_of_the_nearest_rank(table: RequestTable, number: int) -> None:
    chance = random.Random(number)
    times = [chance.randrange(1000) for _ in range(number)]
    table.append([record(slot="a", total_ms=one, ttft_ms=one + 1, tokens_per_s=one + 0.5) for one in times])
    told = table.summaries(0, 3000.0, "slot")["a"]
    assert (told.total_p50, told.total_p95) == (rank(times, 50), rank(times, 95))
    assert (told.ttft_p50, told.ttft_p95) == (rank(times, 50) + 1, rank(times, 95) + 1)
    assert told.tokens_per_s == rank(times, 50) + 0.5


def test_a_summary_tells_errors_apart_and_knows_what_it_does_not_know(table: RequestTable) -> None:
    table.append(
        [
            record(1, slot="a", total_ms=100, tokens_in=3, tokens_out=5),
            record(2, slot="a", total_ms=1, status=503, error_code="slot.error", outcome="refused"),
            record(3, slot="a", total_ms=1, status=499, error_code="client.gone", outcome="client_gone"),
            record(4, endpoint="rerank"),
        ]
    )
    assert table.summaries(0, 3000.0, "slot") == {"a": Summary(3, 1, 3, 5, None, None, 100, 100, None)}
    assert set(table.summaries(0, 3000.0, "endpoint")) == {"chat/completions", "rerank"}
    assert table.summaries(1002.0, 3000.0, "slot")["a"].requests == 2
    assert table.summaries(2000.0, 3000.0, "slot") == {}


def test_what_was_recorded_before_the_clock_was_set_back_is_of_no_window(table: RequestTable) -> None:
    table.append([record(900, slot="a"), record(1, slot="a")])
    assert table.summaries(1000.0, 1060.0, "slot")["a"].requests == 1


def test_the_last_time_to_the_first_token_is_remembered(table: RequestTable) -> None:
    table.append([record(1, slot="a", ttft_ms=5), record(2, slot="a", ttft_ms=7), record(3, slot="a"), record(4)])
    assert table.last_ttft() == {"a": 7}


def test_on_a_full_disk_records_cannot_be_written_and_then_can_again(table: RequestTable) -> None:
    table.append([record()])
    table._db().execute("PRAGMA max_page_count = 1")
    large = [record(number, model="m" * 200, agent="x" * 128) for number in range(2000)]
    assert table.append(large) is False
    table._db().execute("PRAGMA max_page_count = 1000000")
    assert table.append([record(5)]) is True
    assert [one.id for one in table.select(Filters())] == ["req-5", "req-0"]


def test_a_database_that_another_holds_can_be_written_later(table: RequestTable, tmp_path: Path) -> None:
    table._db().execute("PRAGMA busy_timeout = 1")
    other = RequestTable(tmp_path / "hal0.db", KEEP)
    other._db().execute("BEGIN IMMEDIATE")
    assert table.append([record()]) is False
    other._db().execute("ROLLBACK")
    assert table.append([record()]) is True
    other.close()


def test_the_uses_of_a_model_are_its_answers(table: RequestTable) -> None:
    table.append([record(1, model="a"), record(2, model="a"), record(9, model="a"), record(5, model="b")])
    table.append([record(8, model="b", status=500), record(8)])
    assert table.uses(since=1002.0, until=1010.0) == {"a": Use(2, 1009.0), "b": Use(1, 1005.0)}


def test_what_was_recorded_before_the_clock_was_set_back_is_no_use_of_a_time_to_come(table: RequestTable) -> None:
    table.append([record(1, model="a"), record(9000, model="a"), record(9000, model="b")])
    assert table.uses(since=1000.0, until=1002.0) == {"a": Use(1, 1001.0)}
