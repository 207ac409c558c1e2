"""The journal in memory: read once, then only what has come."""

from __future__ import annotations

from pathlib import Path

from hal0app.adapters.store import Store
from hal0app.core.journal import Entry
from hal0app.core.settings import Retention
from hal0app.services import recall
from hal0app.services.recall import Recall


def entries(*slots: str) -> list[Entry]:
    return [Entry(1000.0 + place, "slot.state", f"{place}", slot=name or None) for place, name in enumerate(slots)]


def test_what_comes_is_added_and_nothing_new_is_the_same_object(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", Retention())
    store.write_journal(entries("a", "b"))
    told = Recall(store)
    first = told.told()
    assert [one.slot for one in first.entries] == ["a", "b"]
    assert told.told() is first
    store.write_journal(entries("a"))
    assert [one.message for one in told.told().of_slot["a"]] == ["0", "0"]
    assert len(told.told().entries) == 3


def test_an_empty_journal_tells_nothing_and_then_the_first_entry(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", Retention())
    told = Recall(store)
    assert told.told().entries == ()
    store.write_journal(entries(""))
    assert (len(told.told().entries), dict(told.told().of_slot)) == (1, {})


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", Retention())
    store.write_journal(entries(*["a"] * (recall.PER_SLOT + 7)))
    told = Recall(store).told()
    assert len(told.of_slot["a"]) == recall.PER_SLOT
    assert told.of_slot["a"][0].message == str(recall.PER_SLOT + 6)
