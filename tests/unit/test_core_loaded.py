"""core/loaded: whether what is loaded is what the slot wants."""

from __future__ import annotations

import pytest

from hal0app.core.loaded import differs
from hal0app.core.operation import Operation
from hal0app.core.slot import options_key
from tests.unit.fakes import operation, resident, slot

SLOT = slot("primary", "m", ctx_size=512, llamacpp_args="--temp 0.5 -fa")
LOADED = resident("m", ctx_size=512, args="--alias m --parallel 1 --temp 0.5 -fa")


def load(options: str, started: float = 10.0) -> Operation:
    return operation("load", started=started, finished=started + 1, options=options)


@pytest.mark.parametrize(
    "told",
    [LOADED, resident("m"), resident("m", ctx_size=512), resident("m", args="-fa --parallel 1 --threads 2 --temp 0.5")],
    ids=["all", "nothing", "context-only", "sorted-among-others"],
)
def test_what_agrees_with_the_slot_does_not_differ(told: object) -> None:
    assert not differs(SLOT, told, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "told",
    [
        resident("m", ctx_size=1024),
        resident("m", args="--parallel 1 --temp 0.7 -fa"),
        resident("m", args="--parallel 1 --temp 0.5"),
        resident("m", args="--parallel 2 --temp 0.5 -fa"),
    ],
    ids=["context", "a-value", "a-flag", "parallel"],
)
def test_what_lemond_tells_otherwise_differs(told: object) -> None:
    assert differs(SLOT, told, [])  # type: ignore[arg-type]


def test_hal0s_own_last_load_tells_what_lemond_does_not() -> None:
    old, new = load("old", 10), load(options_key(SLOT), 20)
    assert differs(SLOT, LOADED, [old])
    assert not differs(SLOT, LOADED, [new, old])


@pytest.mark.parametrize(
    "one",
    [
        operation("load", options="old"),
        operation("load", finished=11, options="old", error_code="model.load_failed"),
        operation("load", finished=11),
        operation("load", "n", finished=11, options="old"),
        operation("unload", finished=11, options="old"),
    ],
    ids=["running", "failed", "for-no-slot", "another-model", "no-load"],
)
def test_other_operations_tell_nothing(one: Operation) -> None:
    assert not differs(SLOT, LOADED, [one])
