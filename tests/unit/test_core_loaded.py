"""core/loaded: whether what is loaded is what the slot wants."""

from __future__ import annotations

from typing import Any

import pytest

from hal0app.core.loaded import as_it_runs, differences, read_options
from hal0app.core.operation import Operation
from hal0app.core.residency import Resident
from hal0app.core.slot import options_key
from tests.unit.fakes import operation, resident, slot

SLOT = slot("primary", "m", ctx_size=512, llamacpp_args="--temp 0.5 -fa")
LOADED = resident("m", ctx_size=512, args="--alias m --parallel 1 --temp 0.5 -fa")


OLD = options_key(slot("primary", "m", ctx_size=64, max_in_flight=2))

ASKED: dict[str, Any] = {"ctx_size": 512, "llamacpp_args": "--temp 0.5 -fa", "device": "gpu-rocm"}


def load(options: str, started: float = 10.0) -> Operation:
    return operation("load", started=started, finished=started + 1, options=options)


@pytest.mark.parametrize(
    "told",
    [LOADED, resident("m"), resident("m", ctx_size=512), resident("m", args="-fa --parallel 1 --threads 2 --temp 0.5")],
    ids=["all", "nothing", "context-only", "sorted-among-others"],
)
def test_what_agrees_with_the_slot_does_not_differ(told: object) -> None:
    assert not differences(SLOT, told, [])  # type: ignore[arg-type]


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
    assert differences(SLOT, told, [])  # type: ignore[arg-type]


def test_hal0s_own_last_load_tells_what_lemond_does_not() -> None:
    bare = resident("m")
    old, new = load(OLD, 10), load(options_key(SLOT), 20)
    assert [one.key for one in differences(SLOT, bare, [old])] == ["ctx_size", "llamacpp_args", "max_in_flight"]
    assert not differences(SLOT, bare, [new, old])
    assert not differences(SLOT, LOADED, [load("of another hal0", 10)])


@pytest.mark.parametrize(
    "one",
    [
        operation("load", options=OLD),
        operation("load", finished=11, options=OLD, error_code="model.load_failed"),
        operation("load", finished=11),
        operation("load", "n", finished=11, options=OLD),
        operation("unload", finished=11, options=OLD),
    ],
    ids=["running", "failed", "for-no-slot", "another-model", "no-load"],
)
def test_other_operations_tell_nothing(one: Operation) -> None:
    assert not differences(SLOT, LOADED, [one])


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        (resident("m", ctx_size=1024, recipe="llamacpp", backend="rocm"), {"ctx_size"}),
        (resident("m", recipe="llamacpp", backend="vulkan"), {"device"}),
        (resident("m", recipe="llamacpp", backend="system"), set()),
        (resident("m", args="--parallel 3 --alias m --temp 0.7"), {"llamacpp_args", "max_in_flight"}),
        (resident("m", ctx_size=9, args="-fa", recipe="llamacpp", backend="cpu"), {*ASKED}),
    ],
    ids=["context", "backend", "the-distributions", "arguments", "all"],
)  # fmt: skip
def test_a_definition_that_keeps_what_runs_differs_no_more(told: Resident, keys: set[str]) -> None:
    asking = slot("primary", "m", **ASKED)
    found = differences(asking, told, [])
    assert {one.key for one in found} == keys
    kept = slot("primary", "m", **{**ASKED, **as_it_runs(found)})
    assert differences(kept, told, []) == ()


def test_a_slot_that_asks_for_no_context_any_more_differs_from_one_that_was_asked_for() -> None:
    free, asked = slot("primary", "m"), load(options_key(slot("primary", "m", ctx_size=512)))
    assert [tuple(one) for one in differences(free, resident("m", ctx_size=512), [asked])] == [("ctx_size", 512, None)]
    assert not differences(free, resident("m", ctx_size=512), [load(options_key(free))])


@pytest.mark.parametrize("device", [None, "gpu-rocm", "npu"])
def test_a_key_of_load_options_can_be_read_back(device: str | None) -> None:
    one = slot("primary", "m", ctx_size=512, llamacpp_args="--temp '0.5'", device=device)
    assert read_options(options_key(one)) == one.load_options
    assert read_options("(1, 2)") is None
