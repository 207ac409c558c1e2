"""What the journal page is asked for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hal0app.adapters.log_tail import LogTail
from hal0app.adapters.store import Store
from hal0app.core.journal import LEVELS, Entry
from hal0app.core.settings import Retention
from hal0app.web.log import LIVE_LINES, Filters, LogLine, log_line, thinned


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "db", Retention())
    store.write_journal([Entry(1.0, "slot.state", f"It is {level}", level, slot=level[:1]) for level in LEVELS])
    return store


@pytest.mark.parametrize(
    ("query", "levels"),
    [
        ({}, ["info", "warning", "error"]),
        ({"level": "error"}, ["error"]),
        ({"level": "warning"}, ["warning", "error"]),
        ({"level": "nonsense"}, ["info", "warning", "error"]),
        ({"slot": "w"}, ["warning"]),
        ({"q": "IS ERR"}, ["error"]),
        ({"before": "3"}, ["info", "warning"]),
        ({"since": "1h"}, ["info", "warning", "error"]),
        ({"since": "nonsense"}, ["info", "warning", "error"]),
    ],
    ids=str,
)
def test_an_address_asks_for_lines(store: Store, query: dict[str, str], levels: list[str]) -> None:
    asked = {**Filters.of(query).for_store(3000.0), "before": query.get("before")}
    assert [one.level for one in store.journal(0, 100, newest=True, **asked)] == levels


def test_filters_are_an_address_again() -> None:
    assert Filters.of({"q": "a&b", "slot": "x", "level": "nonsense"}).query == "slot=x&q=a%26b"
    assert not Filters.of({"level": "nonsense"}).any


def test_an_hour_is_counted_back_from_now(store: Store) -> None:
    asked = Filters.of({"since": "1h"})
    assert store.journal(0, 100, newest=True, **asked.for_store(5000.0)) == []
    line = LogLine(1, 1000, "info", "", "", "", "x", "")
    assert asked.fits(line, 4000.0)
    assert not asked.fits(line, 5000.0)


def test_hal0s_own_log_is_heard_line_by_line_with_its_level() -> None:
    heard: list[tuple[str, str]] = []
    log = logging.Logger("x")
    log.addHandler(LogTail(lambda line, level: heard.append((line, level))))
    log.info("fine")
    log.error("two\nlines")
    assert heard == [("x: fine", "info"), ("x: two", "error"), ("lines", "error")]


@pytest.mark.parametrize(
    ("cause", "request_id"),
    [
        ({"reason": "request", "request": "req-1"}, "req-1"),
        ({"reason": "operator"}, ""),
        ("out of memory", ""),
        (None, ""),
    ],
)
def test_a_line_names_the_request_that_caused_it_where_one_did(cause: object, request_id: str) -> None:
    assert log_line(Entry(1.0, "slot.load", "x", data={"cause": cause})).request == request_id


def line(number: int, at: int) -> LogLine:
    return LogLine(number, at, "info", "", "", "", "text", "")


def test_of_a_second_with_many_lines_an_open_page_gets_every_so_many_th() -> None:
    calm = [line(number, number) for number in range(1, 51)]
    assert thinned(calm) == tuple(calm)
    burst = [line(number, 1000) for number in range(100, 100 + 4 * LIVE_LINES)]
    assert [one.number for one in thinned(burst)] == [one.number for one in burst if one.number % 4 == 0]
    assert thinned([*calm, *burst])[-1].number == burst[-4].number
    assert len(thinned([line(number, number // 150) for number in range(1000)])) == LIVE_LINES
