"""What the journal page is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal0app.adapters.store import Store
from hal0app.core.journal import LEVELS, Entry
from hal0app.core.settings import Retention
from hal0app.web.log import Filters


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
    ],
    ids=str,
)
def test_an_address_asks_for_lines(store: Store, query: dict[str, str], levels: list[str]) -> None:
    asked = {**Filters.of(query).for_store(), "before": query.get("before")}
    assert [one.level for one in store.journal(0, 100, newest=True, **asked)] == levels


def test_filters_are_an_address_again() -> None:
    assert Filters.of({"q": "a&b", "slot": "x", "level": "nonsense"}).query == "slot=x&q=a%26b"
    assert not Filters.of({"level": "nonsense"}).any
