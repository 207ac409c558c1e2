"""A full disk: hal0 keeps telling the truth from memory, and says afterwards what it could not write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hal0app.adapters.store import Store
from hal0app.core.journal import Entry
from hal0app.core.operation import Evidence
from hal0app.core.reconcile import Past
from hal0app.core.settings import Retention
from hal0app.core.settlement import Outcome, settle
from hal0app.core.slot import State
from tests.unit.fakes import at, operation, seen, slot

LONG = "x" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "hal0.db", Retention())
    yield made
    made.close()


def fill(store: Store) -> None:
    """SQLite then says "database or disk is full", as it does for the file system's own lack of space."""
    store._db.execute("PRAGMA max_page_count = 1")


def free(store: Store) -> None:
    store._db.execute("PRAGMA max_page_count = 1000000")


MODELS = [f"{number:03}".ljust(500, "m") for number in range(40)]  # more than the pages at hand can take


def look(store: Store, tick: float) -> Outcome:
    slots = [slot(f"slot-{number}", model) for number, model in enumerate(MODELS)]

    def decide(past: Past) -> Outcome:
        return settle(slots, past, seen(tick, *MODELS), at(tick), "test")

    return store.settle(decide, at(tick))


def test_on_a_full_disk_what_was_decided_is_still_told(store: Store) -> None:
    fill(store)
    outcome = look(store, 10)
    assert [one.after.state for one in outcome.transitions] == [State.READY] * len(MODELS)
    assert "full" in (store.problem or "")
    assert store.past(at(11)).recorded.records == {}


def test_on_a_full_disk_nothing_raises(store: Store) -> None:
    fill(store)
    store.save_operation(operation("load", "m", 1, error_message=LONG))
    store.save_evidence(Evidence("m", "crashed", at(2), {"proof": LONG}))
    store.write_journal([Entry(1.0, "slot.load", LONG)])
    assert store.keep_findings("config.drift", {"key": LONG}, at(3), "test") == []
    assert store.problem


def test_with_space_again_all_is_written_and_the_journal_tells_once(store: Store) -> None:
    fill(store)
    for tick in (10, 11, 12):
        look(store, tick)
    free(store)
    for tick in (13, 14):
        look(store, tick)
    assert store.problem is None
    assert store.past(at(15)).recorded.records["slot-7"].state is State.READY
    told = [one for one in store.journal() if one.kind == "system.storage"]
    assert len(told) == 1
    assert "full" in told[0].message
