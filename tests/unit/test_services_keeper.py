"""services/keeper and what it remembers: pins that are hal0's own, pauses after failures, models in quarantine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.keeping import IdleUnload, Restore
from hal0app.core.lemond_log import Wipe
from hal0app.core.operation import Kind, Operation
from hal0app.core.quarantine import FOREIGN
from hal0app.core.residency import Observation
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.control import Want
from hal0app.services.keeper import Keeper
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.quarantines import Quarantines
from hal0app.services.rests import Rests
from hal0app.services.wanted import Wanted
from hal0app.services.witness import Witness
from tests.support.waiting import eventually
from tests.unit.fakes import Asking, FakeClient, House, at, operation, seen, slot

BROKEN = errors.error("lemonade.refused", "no such tensor", upstream_status=500, upstream_type="model_load_error")
AWAY = errors.error("lemonade.unavailable", "away")


class Quiet:
    """A log in which nothing stands."""

    connected = True

    def follow(self, tell: Callable[[str], None]) -> None:
        return None

    def close(self) -> None:
        return None


def keeper(house: House) -> Keeper:
    """As another start of hal0 over the same store makes it, subscribed."""
    witness = Witness(Quiet(), house.store, house.clock)
    wanted = Wanted(house.lemond, house.store, house.clock, {})  # type: ignore[arg-type]
    parts = (house.observer, house.control, house.leases, house.lemond, house.store, house.clock)
    made = Keeper(*parts, witness, wanted, house.quarantines)
    house.observer.subscribe(made._watch)
    return made


def put(house: House, *slots: SlotConfig) -> None:
    """Make these the slots there are."""
    house.folder.slots = {one.name: one for one in slots}


def pinned(house: House) -> set[str]:
    return {one.model for one in house.lemond.held.values() if one.pinned}


# -- pins


def test_the_pin_of_a_model_that_its_slot_left_is_taken_back_and_told() -> None:
    house = House(slot("primary", "m", pinned=True))
    keeping = keeper(house)
    house.lemond.put("m", pinned=True)
    house.observer.step()
    keeping._work()
    put(house, slot("primary", "n", pinned=True))
    house.observer.step()
    keeping._work()
    house.observer.step()
    keeping._work()
    assert pinned(house) == set()
    (told,) = house.store.told("model.unpin")
    assert (told.model, told.message) == ("m", "the pin of m was taken back, for no enabled slot has it any more")
    assert house.store.proofs("pinned") == []


def test_the_pin_is_known_as_our_own_after_a_restart_of_hal0() -> None:
    house = House(slot("primary", "m", pinned=True))
    first = keeper(house)
    house.lemond.put("m", pinned=True)
    house.observer.step()
    first._work()
    put(house)
    second = keeper(house)
    house.observer.step()
    second._work()
    assert pinned(house) == set()


def test_no_pin_is_taken_back_while_the_slots_cannot_be_read() -> None:
    house = House(slot("primary", "m", pinned=True))
    first = keeper(house)
    house.lemond.put("m", pinned=True)
    house.observer.step()
    first._work()
    house.folder.problem = FileNotFoundError(2, "No such file or directory")
    again = House()
    again.folder, again.lemond, again.store = house.folder, house.lemond, house.store
    again.observer = Observer(house.lemond, house.folder, house.store, house.clock)
    second = keeper(again)
    assert again.observer.step().slots == ()
    second._work()
    assert pinned(house) == {"m"}


def test_a_pin_that_somebody_else_made_is_left_alone_by_every_start() -> None:
    house = House(slot("primary", "m", pinned=True))
    house.lemond.put("n", pinned=True)
    for _ in range(2):
        keeping = keeper(house)
        house.observer.step()
        keeping._work()
    assert pinned(house) == {"n"}
    assert house.store.told("model.unpin") == []


# -- pauses


def restoring(name: str = "primary", **more: Any) -> Restore:
    return Restore(slot(name, "m", **more))


def test_a_failed_restore_rests_twice_as_long_every_time() -> None:
    rests = Rests()
    for tick, pause in ((0.0, 60), (100.0, 120), (300.0, 240)):
        rests.failed(restoring(), tick)
        assert not rests.over(restoring("other"), tick + pause - 1)
        assert rests.over(restoring(), tick + pause)
        assert rests.over(IdleUnload(slot("primary", "m"), 5), tick)
    rests.done(restoring())
    rests.failed(restoring(), 1000.0)
    assert rests.over(restoring(), 1060.0)


def cleared(tick: float) -> Operation:
    return operation("clear", "m", tick, finished=tick + 0.5)


@pytest.mark.parametrize(
    ("look", "its_slot", "acts", "forgiven"),
    [
        (seen(20), slot("primary", "m"), (), False),
        (seen(20, "m"), slot("primary", "m"), (), True),
        (seen(9, "m"), slot("primary", "m"), (), False),
        (seen(20), slot("primary", "m", ctx_size=512), (), True),
        (seen(20), slot("primary", "m"), (cleared(11),), True),
        (seen(20), slot("primary", "m"), (cleared(1),), False),
    ],
    ids=["nothing happened", "it is loaded", "it was loaded before", "its slot changed", "cleared", "cleared before"],
)
def test_success_a_change_or_a_person_ends_the_pause(
    look: Observation, its_slot: SlotConfig, acts: tuple[Operation, ...], forgiven: bool
) -> None:
    rests = Rests()
    rests.failed(restoring(), 10.0)
    rests.forgive(Snapshot(look, slots=(its_slot,), operations=acts))
    assert rests.over(restoring(), 11.0) is forgiven


def test_a_restore_that_fails_is_not_tried_again_with_the_next_look() -> None:
    house = House(slot("primary", "m", on_evict="restore"))
    keeping = keeper(house)
    with house.running():
        house.lemond.put("m")
        house.look()
        house.lemond.failures["m"] = AWAY
        house.lemond.drop("m")
        house.look()
        for _ in range(3):
            keeping._work()
        assert house.lemond.calls == [("load", "m")]


# -- quarantine


def lease(house: House, model: str, with_slot: SlotConfig | None = None) -> Asking:
    return Asking(lambda: house.control.lease(Want(model, with_slot), 20, FakeClient()))


def refused(asking: Asking) -> Hal0Error:
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    return problem.value


def test_a_model_without_a_slot_that_could_not_be_loaded_wipes_once() -> None:
    house = House(slot("primary", "m"))
    house.lemond.failures["o"], house.lemond.wipes = BROKEN, True
    with house.running():
        house.lemond.put("m")
        house.look()
        assert refused(lease(house, "o")).code == "model.load_failed"
        house.lemond.put("m")
        house.look()
        second = refused(lease(house, "o"))
        assert (second.code, second.details["failures"]) == ("model.quarantined", 1)
        assert second.retry_after is not None
        assert 0 < second.retry_after <= 60
        assert house.lemond.calls == [("load", "o")]
        assert set(house.lemond.held) == {"m"}
        assert [one.model for one in house.store.told("model.quarantine")] == ["o"]
        assert [one.result["victims"] for one in house.store.operations.values() if one.model == "o"] == [["m"]]


def test_the_quarantine_survives_a_restart_and_ends_when_a_person_clears_it() -> None:
    house = House(slot("primary", "m"))
    house.quarantines.add("o", "no such tensor", "")
    assert Quarantines(house.store, house.clock).refusal("o", None) is not None
    with house.running():
        assert refused(lease(house, "o")).code == "model.quarantined"
        house.control.clear(Want("o"), "ann")
        lease(house, "o").result().release()
    assert Quarantines(house.store, house.clock).of("o") is None


def test_what_says_nothing_against_the_model_is_no_reason_for_quarantine() -> None:
    house = House(slot("primary", "m"))
    house.lemond.failures["o"] = AWAY
    with house.running():
        assert refused(lease(house, "o")).code == "lemonade.unavailable"
        assert refused(lease(house, "o")).code == "lemonade.unavailable"
    assert house.quarantines.of("o") is None


def test_a_model_that_is_seen_loaded_is_in_quarantine_no_more() -> None:
    house = House(slot("primary", "m"))
    keeping = keeper(house)
    house.lemond.put("o")
    house.observer.step()
    house.quarantines.add("o", "no such tensor", "")
    keeping._work()
    assert house.quarantines.of("o") is not None
    house.observer.step()
    keeping._work()
    assert house.quarantines.of("o") is None


def test_what_somebody_else_could_not_load_is_kept_out_for_a_while() -> None:
    house = House(slot("primary", "m", on_evict="restore"))
    keeping = keeper(house)
    keeping.heard(Wipe("m", "no such tensor", ("n",), over=True))
    keeping.heard(Wipe("n", "out of memory", ("o",), over=True, loaded=True))
    assert house.quarantines.refusal("m", slot("primary", "m")) is not None
    assert house.quarantines.of("n") is None


@pytest.mark.parametrize("finished", [None, 1.0], ids=["it is loading", "it failed just now"])
def test_our_own_failure_is_not_counted_twice_when_the_log_tells_it_too(finished: float | None) -> None:
    house = House(slot("primary", "m"))
    keeping = keeper(house)
    if finished is None:
        now = house.clock()
        house.store.save_operation(operation("load", "m", now.tick - at(0).tick, id="1", heartbeat=now.tick))
    else:
        house.quarantines.add("m", "no such tensor", "")
    keeping.heard(Wipe("m", "no such tensor", (), over=True))
    known = house.quarantines.of("m")
    assert (known.failures if known else 0) == (0 if finished is None else 1)


def test_a_person_who_swaps_to_a_model_in_quarantine_wants_it_tried() -> None:
    house = House(slot("primary", "m"))
    house.quarantines.add("n", "no such tensor", FOREIGN)
    with house.running():
        assert house.slots.swap("primary", "n", "ann").wait(20)
    assert "n" in house.lemond.held


def test_a_person_who_loads_a_slot_is_not_kept_out() -> None:
    house = House(slot("primary", "m"))
    keeping = keeper(house)
    keeping.heard(Wipe("m", "no such tensor", (), over=True))
    with house.running():
        assert refused(lease(house, "m", slot("primary", "m"))).code == "model.quarantined"
        eventually(lambda: house.reason() == "refused")
        assert house.slots.load("primary", "ann").wait(20)
        eventually(lambda: house.state() == "ready")
    assert Kind.CLEAR in {one.kind for one in house.store.operations.values()}
