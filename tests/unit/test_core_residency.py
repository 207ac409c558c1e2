"""core/residency: reading lemond's health, and who leaves when a pool is full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.residency import UNLIMITED, AllPinned, Link, Observation, Resident, read_health, victims
from tests.unit.fakes import at, resident, seen

RECORDED = Path(__file__).resolve().parents[1] / "data" / "lemond"


def health(name: str) -> Observation:
    return read_health(at(5), json.loads((RECORDED / f"{name}.json").read_text())["response"]["body"], "boot")


def test_an_answer_of_lemond_with_three_types_is_read() -> None:
    told = health("b24_health_three_types")
    assert [(one.model, one.type, one.pool, one.pid) for one in told.residents] == [
        ("embed-a", "embedding", "standard/embedding", 15958),
        ("gemma-a", "llm", "standard/llm", 15932),
        ("rerank-a", "reranking", "standard/reranking", 15977),
    ]
    assert told.resident("gemma-a") == Resident(
        model="gemma-a",
        type="llm",
        pool="standard/llm",
        backend_url="http://127.0.0.1:8002/v1",
        pid=15932,
        recipe="llamacpp",
        device="cpu",
        ctx_size=4096,
        last_use=2017803,
    )
    assert (told.version, told.boot, told.taken, told.link, told.fresh) == ("11.7.0", "boot", at(5), Link.UP, True)
    assert told.capacity["llm"] == 2


def test_an_answer_of_lemond_with_nothing_loaded_is_read() -> None:
    told = health("a01_health_v1")
    assert (told.residents, told.models(), told.resident("gemma-a")) == ((), frozenset(), None)


def test_pins_business_and_options_are_read() -> None:
    pins = {one.model: one.pinned for one in health("f10_health_pinned").residents}
    assert pins == {"gemma-a": True, "gemma-b": True, "embed-a": False}
    assert health("g02_health_while_streaming").residents[0].busy
    assert health("b13_health_after_reload").residents[0].ctx_size == 2048


def test_a_reload_has_another_address() -> None:
    old, new = (health(name).resident("gemma-a") for name in ("b24_health_three_types", "b13_health_after_reload"))
    assert old is not None
    assert new is not None
    assert old.address != new.address


def test_an_older_answer_names_the_list_loaded() -> None:
    told = read_health(at(1), {"loaded": [{"model_name": "m"}]})
    assert told.resident("m") == Resident("m")


@pytest.mark.parametrize(
    "payload",
    [
        *({}, {"all_models_loaded": None}, {"all_models_loaded": {}}, {"status": "ok"}, {"error": "no"}),
        *([], None, "ok", {"loaded": ["m"]}, {"all_models_loaded": [{"model_name": "m"}, None]}),
    ],
    ids=str,
)
def test_an_answer_without_a_list_of_models_is_no_residency(payload: Any) -> None:
    with pytest.raises(ValueError, match="no list"):
        read_health(at(1), payload)


def test_nulls_are_read_as_absent() -> None:
    row = {"model_name": "m", "backend_url": None, "recipe_options": None, "last_use": None, "pinned": None}
    told = read_health(at(1), {"all_models_loaded": [row], "max_models": None})
    assert told.resident("m") == Resident("m")
    assert told.capacity == {}


@pytest.mark.parametrize("options", ["x", [], 5])
def test_options_of_another_form_are_read_as_absent(options: Any) -> None:
    told = read_health(at(1), {"all_models_loaded": [{"model_name": "m", "recipe_options": options}]})
    assert told.resident("m") == Resident("m")


@pytest.mark.parametrize("link", [Link.BUSY, Link.DOWN])
def test_only_an_answer_is_fresh(link: Link) -> None:
    assert not seen(1, link=link).fresh


def test_no_model_is_never_resident() -> None:
    assert seen(1, "m").resident(None) is None


# -- victims


def never(_: str) -> float:
    return float("-inf")


def chosen(look: Observation, used: dict[str, float] | None = None, **more: Any) -> list[str]:
    used = used or {}
    picked = victims(look, "new", more.pop("type_", "llm"), lambda model: used.get(model, float("-inf")), **more)
    return [one.model for one in picked]


def test_there_is_no_victim_while_there_is_room() -> None:
    assert chosen(seen(1, "a", capacity={"llm": 2})) == []


@pytest.mark.parametrize("capacity", [{}, {"llm": UNLIMITED}, {"embedding": 1}], ids=str)
def test_there_is_no_victim_without_a_limit(capacity: dict[str, int]) -> None:
    assert chosen(seen(1, "a", "b", "c", capacity=capacity)) == []


def test_the_least_recently_used_leaves() -> None:
    assert chosen(seen(1, "a", "b", "c", capacity={"llm": 3}), {"a": 30, "b": 10, "c": 20}) == ["b"]


def test_our_own_last_use_counts_and_not_lemonds() -> None:
    look = seen(1, resident("a", last_use=1), resident("b", last_use=9), capacity={"llm": 2})
    assert chosen(look, {"a": 20, "b": 10}) == ["b"]


def test_a_model_hal0_never_used_leaves_before_one_it_used() -> None:
    assert chosen(seen(1, "a", "b", capacity={"llm": 2}), {"a": 0.0}) == ["b"]


def test_a_tie_falls_to_lemonds_own_order() -> None:
    look = seen(1, resident("a", last_use=9), resident("b", last_use=1), capacity={"llm": 2})
    assert chosen(look) == ["b"]


def test_several_leave_when_the_limit_was_lowered() -> None:
    assert chosen(seen(1, "a", "b", "c", capacity={"llm": 2}), {"a": 3, "b": 1, "c": 2}) == ["b", "c"]


def test_another_type_is_no_rival() -> None:
    look = seen(1, resident("a"), resident("e", type="embedding"), capacity={"llm": 2, "embedding": 1})
    assert chosen(look) == []
    assert chosen(look, type_="embedding") == ["e"]


def test_an_unmetered_model_is_no_rival() -> None:
    look = seen(1, resident("cloud", pool="unmetered", recipe="cloud"), resident("a"), capacity={"llm": 2})
    assert chosen(look) == []


def test_the_model_itself_is_no_rival() -> None:
    assert chosen(seen(1, "new", capacity={"llm": 1})) == []


def test_a_pinned_or_protected_one_never_leaves() -> None:
    look = seen(1, resident("a", pinned=True), resident("b"), resident("c"), capacity={"llm": 3})
    assert chosen(look, {"b": 1, "c": 2}, protected=frozenset({"b"})) == ["c"]


def test_too_few_that_may_leave_names_those_that_may_not() -> None:
    look = seen(1, resident("b", pinned=True), resident("a"), resident("c"), capacity={"llm": 2})
    with pytest.raises(AllPinned) as full:
        victims(look, "new", "llm", never, frozenset({"a"}))
    assert full.value.models == ["a", "b"]
    assert str(full.value) == "a, b"


residents = st.lists(
    st.builds(
        resident,
        st.sampled_from("abcdefg"),
        pinned=st.booleans(),
        type=st.sampled_from(["llm", "embedding"]),
        last_use=st.integers(0, 5),
    ),
    unique_by=lambda one: one.model,
)


@given(residents, st.integers(1, 6), st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 9)))
def test_after_the_victims_left_there_is_room_and_nobody_left_in_vain(
    held: list[Resident], limit: int, used: dict[str, float]
) -> None:
    look = seen(1, *held, capacity={"llm": limit})
    rivals = [one for one in held if one.type == "llm"]
    fixed = [one for one in rivals if one.pinned]
    if len(fixed) >= limit:
        with pytest.raises(AllPinned) as full:
            victims(look, "new", "llm", lambda model: used.get(model, -1))
        assert full.value.models == sorted(one.model for one in fixed)
        return
    leaving = victims(look, "new", "llm", lambda model: used.get(model, -1))
    assert len(leaving) == max(0, len(rivals) + 1 - limit)
    assert not any(one.pinned or one.type != "llm" for one in leaving)
    stays = [used.get(one.model, -1) for one in rivals if one not in leaving and not one.pinned]
    assert all(used.get(one.model, -1) <= other for one in leaving for other in stays)
