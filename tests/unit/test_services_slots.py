"""services/slots: what becomes of the slots and their models when people handle them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hal0app.core.operation import Evidence, Kind, Operation, Status
from hal0app.core.slot import options_key
from hal0app.errors import Hal0Error
from tests.unit.fakes import House, at, slot


@pytest.fixture
def house() -> Iterator[House]:
    with House(slot("a", "m", default=True), slot("b", "m"), slot("c", "n")).running() as made:
        made.lemond.put("m")
        made.lemond.put("n")
        made.look()
        yield made


def operations(house: House, kind: Kind) -> list[Operation]:
    return [one for one in house.store.operations.values() if one.kind is kind]


# -- definitions


def test_a_null_in_a_new_slot_is_a_key_that_was_not_given(house: House) -> None:
    made = house.slots.create({"name": "new", "type": "llm", "default": True, "ctx_size": None})
    assert (made.slot.name, made.config and made.config.ctx_size) == ("new", None)
    assert house.folder.definitions["new"] == {"type": "llm", "default": True}
    assert house.folder.definitions["a"]["default"] is False


# -- ports


@pytest.fixture
def ported(house: House) -> House:
    house.slots.definitions.ports = range(8081, 8084)
    return house


def port(house: House, name: str) -> object:
    return house.folder.definitions[name].get("port")


@pytest.mark.parametrize("given", [{}, {"port": 0}, {"port": None}], ids=["absent", "zero", "null"])
def test_a_new_slot_gets_the_lowest_free_port(ported: House, given: dict[str, object]) -> None:
    ported.slots.create({"name": "x", "type": "llm", "port": 8082})
    made = [ported.slots.create({"name": name, "type": "llm", **given}).as_json()["port"] for name in ("y", "z")]
    assert made == [8081, 8083]
    with pytest.raises(Hal0Error) as problem:
        ported.slots.create({"name": "full", "type": "llm", **given})
    assert (problem.value.code, problem.value.status) == ("slot.no_free_port", 400)
    assert "full" not in ported.folder.definitions


def test_a_slot_that_has_none_gets_a_port_when_a_change_says_so_and_only_then(ported: House) -> None:
    ported.slots.change("a", {"priority": 7}, None)
    assert port(ported, "a") is None
    ported.slots.change("a", {"port": 0}, None)
    assert port(ported, "a") == 8081
    ported.slots.change("a", {"port": None}, None)
    assert port(ported, "a") is None


@pytest.mark.parametrize(
    ("wanted", "code"), [(8081, "slot.port_taken"), (9000, "slot.invalid"), (8080, "slot.invalid")]
)
def test_a_port_of_another_slot_or_outside_the_range_is_refused(ported: House, wanted: int, code: str) -> None:
    ported.slots.create({"name": "x", "type": "llm"})
    for attempt in (
        lambda: ported.slots.create({"name": "y", "type": "llm", "port": wanted}),
        lambda: ported.slots.change("a", {"port": wanted}, None),
    ):
        with pytest.raises(Hal0Error) as problem:
            attempt()
        assert (problem.value.code, problem.value.param) == (code, "port")


def test_a_port_that_a_person_wrote_does_not_keep_the_slot_from_other_changes(ported: House) -> None:
    ported.folder.write("a", {"type": "llm", "model": "m", "port": 9000})
    ported.slots.change("a", {"priority": 7}, None)
    assert port(ported, "a") == 9000


def test_without_slot_ports_no_slot_gets_one(house: House) -> None:
    assert house.slots.create({"name": "x", "type": "llm"}).as_json()["port"] is None
    assert port(house, "x") is None


# -- unloads


def test_a_model_that_another_slot_has_too_stays_loaded_and_the_journal_says_for_whom(house: House) -> None:
    assert house.slots.unload("a", "ann").wait(20)
    assert house.lemond.calls == []
    assert "m" in house.lemond.held
    (kept,) = operations(house, Kind.KEEP)
    assert (kept.slot, kept.model, kept.status, kept.result) == ("a", "m", Status.DONE, {"kept_for": ["b"]})
    assert (kept.cause.reason, kept.cause.who) == ("operator", "ann")
    (told,) = house.store.told("slot.keep")
    assert (told.slot, told.model) == ("a", "m")
    house.look()
    assert (house.state("a"), house.state("b")) == ("ready", "ready")


def test_a_forced_unload_takes_the_model_from_every_slot_that_has_it(house: House) -> None:
    assert house.slots.unload("a", "ann", force=True).wait(20)
    assert house.lemond.calls == [("unload", "m")]
    assert operations(house, Kind.KEEP) == []
    house.look()
    assert (house.reason("a"), house.reason("b"), house.state("c")) == ("operator", "operator", "ready")


def test_a_model_of_one_slot_alone_is_unloaded_without_force(house: House) -> None:
    assert house.slots.unload("c", "ann").wait(20)
    assert house.lemond.calls == [("unload", "n")]


def test_a_slot_that_is_turned_off_does_not_keep_a_model_loaded(house: House) -> None:
    house.folder.put(slot("b", "m", enabled=False))
    house.look()
    assert house.slots.unload("a", "ann").wait(20)
    assert house.lemond.calls == [("unload", "m")]


# -- failures


def test_a_slot_that_is_cleared_forgets_what_was_proven_against_its_model_for_good(house: House) -> None:
    for model in ("m", "n"):
        proof = {"options": options_key(slot()), "count": 4}
        house.store.save_evidence(Evidence(model, "crash_loop", at(15), proof))
    house.look()
    assert (house.reason("a"), house.reason("c")) == ("crash_loop", "crash_loop")
    assert house.slots.clear("a", "ann").record.state == "ready"
    assert set(house.store.evidence) == {("n", "crash_loop")}
    assert house.slots.restart("a", "ann").wait(20)
    house.look()
    assert (house.state("a"), house.state("b"), house.reason("c")) == ("ready", "ready", "crash_loop")


def test_a_look_from_before_the_forgetting_is_not_what_a_person_is_told(house: House, monkeypatch: Any) -> None:
    forget = house.store.forget_evidence

    def looked_meanwhile(*which: str) -> None:
        house.look()
        forget(*which)

    house.store.save_evidence(Evidence("m", "crash_loop", at(15), {"options": options_key(slot()), "count": 4}))
    house.look()
    monkeypatch.setattr(house.store, "forget_evidence", looked_meanwhile)
    assert house.slots.clear("a", "ann").record.state == "ready"
