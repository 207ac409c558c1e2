"""Ten thousand reconciliations leave the database no larger than its retention says."""

from __future__ import annotations

from pathlib import Path

from hal0app.adapters.store import Store
from hal0app.core.reconcile import Past
from hal0app.core.settings import Retention
from hal0app.core.settlement import Outcome, settle
from tests.unit.fakes import at, operation, seen, slot

KEPT = 200
PAGES_OF_WAL = 4 << 20  # SQLite folds the log back every 1000 pages


def test_ten_thousand_reconciliations_do_not_grow_the_database(tmp_path: Path) -> None:
    store = Store(tmp_path / "hal0.db", Retention(journal=KEPT, operations=KEPT))

    def look(tick: int) -> None:
        models = ("m",) if tick % 40 < 20 else ()

        def decide(past: Past) -> Outcome:
            return settle([slot()], past, seen(tick, *models), at(tick), "test")

        store.settle(decide, at(tick))

    for tick in range(1, 10_001):
        look(tick)
        if tick % 25 == 0:
            store.save_operation(operation("load", f"model-{tick % 50}", tick, finished=tick + 0.5))
    assert len(store.journal(limit=10_000)) <= KEPT
    assert len(store.past(at(20_000)).operations) <= KEPT
    store.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < PAGES_OF_WAL
