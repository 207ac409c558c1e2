"""Where the memory has gone: parts that add up, and what does not said so."""

from __future__ import annotations

from hal0app.core.memory import GIB, Card, HostMemory
from hal0app.core.memory_map import Part, memory_map

CARD = Card(2 * GIB, 1 * GIB, 94 * GIB, 39 * GIB)


def test_a_card_counts_with_carve_out_and_gtt() -> None:
    shown = memory_map(HostMemory(10, (CARD,), 20), [Part("a", 30 * GIB), Part("b", None)])
    assert shown is not None
    assert (shown.where, shown.total, shown.used, shown.other) == ("GPU", 96 * GIB, 40 * GIB, 10 * GIB)
    assert shown.percent(24 * GIB) == 25.0


def test_without_a_card_it_is_the_ram_and_mapped_files_of_models_are_in_use() -> None:
    shown = memory_map(HostMemory(available=12 * GIB, total=16 * GIB), [Part("a", 3 * GIB, True, mapped=2 * GIB)])
    assert shown is not None
    assert (shown.where, shown.free, shown.used, shown.other, shown.unaccounted) == (
        "RAM",
        10 * GIB,
        6 * GIB,
        3 * GIB,
        0,
    )


def test_estimates_that_exceed_what_is_used_are_told_and_not_made_to_fit() -> None:
    shown = memory_map(HostMemory(0, (CARD,)), [Part("a", 50 * GIB)])
    assert shown is not None
    assert (shown.used, shown.other, shown.unaccounted) == (40 * GIB, 0, 10 * GIB)


def test_memory_that_cannot_be_read_has_no_map() -> None:
    assert memory_map(HostMemory(), []) is None
    assert memory_map(HostMemory(available=1), []) is None
