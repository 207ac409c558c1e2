"""The NPU's rules: who may want it, who is served by whose process, who leaves it."""

from __future__ import annotations

from typing import Any

import pytest

from hal0app.core import npu, npu_route
from hal0app.core.keeping import Facts, Use, tasks
from hal0app.core.model import Model
from hal0app.core.operation import Cause
from hal0app.core.reasons import Reason
from hal0app.core.reconcile import Past, Recorded
from hal0app.core.residency import Link
from hal0app.core.settlement import settle
from hal0app.core.slot import Broken, Record, State
from hal0app.core.slot_type import SlotType
from tests.unit.fakes import at, operation, resident, seen, slot

CHAT = slot("agent", "gemma:1b", device="npu", ctx_size=4096)
EMBED = slot("embed-npu", "embed:300m", type="embedding", device="npu")
STT = slot("stt-npu", None, type="transcription", device="npu")
GPU = slot("primary", "big")
ALL = [CHAT, EMBED, GPU, STT]
FLM = resident("gemma:1b", recipe="flm", device="npu")


@pytest.mark.parametrize(
    ("wants", "conflicting"),
    [
        (slot("two", "x", device="npu"), ["agent"]),
        (slot("two", None, device="npu"), ["agent"]),
        (slot("two", "x", device="npu", enabled=False), []),
        (slot("two", "x", device="cpu"), []),
        (slot("two", "x", device="npu", type="embedding"), []),
        (CHAT, []),
    ],
)
def test_one_enabled_chat_slot_may_have_the_npu(wants: Any, conflicting: list[str]) -> None:
    assert npu.conflicts(wants, ALL) == conflicting


@pytest.mark.parametrize(
    "chat", [slot("agent", "x", device="npu", enabled=False), slot("agent", None, device="npu"), GPU]
)
def test_without_a_chat_slot_that_has_a_model_nobody_carries_a_shadow(chat: Any) -> None:
    assert npu.carrier(EMBED, [chat, Broken("agent", "")]) is None


def test_only_embedding_and_transcription_on_the_npu_are_carried() -> None:
    assert [npu.carrier(one, ALL) for one in ALL] == [None, CHAT, None, CHAT]


def states(recorded: Recorded, look: Any, *operations: Any) -> dict[str, tuple[State, Reason]]:
    """What a settlement makes of the trio."""
    outcome = settle(ALL, Past(recorded, operations), look, at(100.0), "test")
    return {one.slot: (one.after.state, one.after.reason) for one in outcome.transitions if one.slot != "primary"}


TRIO = ("agent", "embed-npu", "stt-npu")


def held() -> Recorded:
    ready = {name: Record(name, State.READY, Reason.NONE, "", model="gemma:1b", version=1) for name in TRIO}
    return Recorded(ready, seen(50.0, FLM), Link.UP)


def test_the_shadows_are_ready_with_the_chat_model() -> None:
    assert states(Recorded(), seen(90.0, FLM)) == dict.fromkeys(TRIO, (State.READY, Reason.NONE))


def test_the_shadows_start_with_it() -> None:
    loading = operation(model="gemma:1b", started=95.0)
    assert states(Recorded(), seen(90.0), loading) == dict.fromkeys(TRIO, (State.STARTING, Reason.NONE))


def test_the_shadows_go_with_it_for_the_same_reason() -> None:
    assert states(held(), seen(90.0)) == dict.fromkeys(TRIO, (State.OFFLINE, Reason.EVICTED))
    unloaded = operation("unload", "gemma:1b", 60.0, finished=70.0, cause=Cause("operator", "ann"))
    assert states(held(), seen(90.0), unloaded) == dict.fromkeys(TRIO, (State.OFFLINE, Reason.OPERATOR))


def test_a_load_that_failed_is_the_error_of_all_three() -> None:
    from hal0app.core.slot import options_key

    failed = operation(
        model="gemma:1b", started=60.0, finished=70.0, error_code="model.load_failed", options=options_key(CHAT)
    )
    assert states(Recorded(), seen(90.0), failed) == dict.fromkeys(TRIO, (State.ERROR, Reason.LOAD_FAILED))


def test_a_chat_model_of_another_recipe_carries_nobody() -> None:
    found = states(Recorded(), seen(90.0, "gemma:1b"))
    assert [found[name][0] for name in TRIO] == [State.READY, State.OFFLINE, State.OFFLINE]


def test_a_shadow_is_never_restored_by_itself() -> None:
    wanting = slot("embed-npu", "embed:300m", type="embedding", device="npu", on_evict="restore")
    lost = {"embed-npu": Record("embed-npu", State.OFFLINE, Reason.EVICTED, version=1)}
    assert tasks(Facts([wanting], lost, seen(90.0), lambda _: Use(), at(100.0), 0.0, {})) == []


OTHER = Model("qwen:4b", recipe="flm")


@pytest.mark.parametrize(
    ("model", "held_by", "protected", "leave", "taken"),
    [
        (OTHER, FLM, (), ["gemma:1b"], None),
        (OTHER, FLM, ("gemma:1b",), [], "gemma:1b"),
        (OTHER, resident("gemma:1b", recipe="flm", pinned=True), (), [], "gemma:1b"),
        (OTHER, resident("embed:300m", recipe="flm", type="embedding"), (), [], None),
        (OTHER, resident("big"), (), [], None),
        (Model("gemma:1b", recipe="flm"), FLM, (), [], None),
        (Model("big"), FLM, (), [], None),
        (Model("e", SlotType.EMBEDDING, "flm"), FLM, (), [], None),
    ],
)
def test_another_chat_model_leaves_the_npu_first_unless_it_is_pinned(
    model: Model, held_by: Any, protected: tuple[str, ...], leave: list[str], taken: str | None
) -> None:
    look = seen(90.0, held_by)
    leaving = npu.victims(model, look, protected, [])
    assert [one.model for one in leaving] == leave
    assert npu.busy(model, look, leaving) == taken


def test_one_that_leaves_already_is_no_second_victim() -> None:
    assert npu.victims(OTHER, seen(90.0, FLM), (), [FLM]) == []


@pytest.mark.parametrize("told", ["http://h:8001", "http://h:8001/", "http://h:8001/v1", "http://h:8001/v1/"])
def test_the_address_of_the_process_has_no_v1(told: str) -> None:
    assert npu_route.base_url(told) == "http://h:8001"


def test_a_swap_is_another_model_on_the_npu_than_the_one_wanted() -> None:
    still = {"in_progress": False, "from_model": None, "to_model": None}
    assert npu.swap_status(ALL, seen(1.0, FLM)) == still
    assert npu.swap_status(ALL, seen(1.0)) == still
    assert npu.swap_status([GPU], seen(1.0, FLM)) == still
    other = resident("qwen:4b", recipe="flm")
    assert npu.swap_status(ALL, seen(1.0, other)) == {
        "in_progress": True,
        "from_model": "qwen:4b",
        "to_model": "gemma:1b",
    }
