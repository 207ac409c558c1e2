"""services/control and services/acts: one load or unload at a time, joined by any number of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.operation import Cause, Status
from hal0app.core.residency import Link
from hal0app.core.standing import joined
from hal0app.errors import Hal0Error
from hal0app.services import jobs
from hal0app.services.control import Want
from hal0app.services.errand import Errand
from hal0app.services.lease import Moved
from hal0app.services.leases import Lease
from hal0app.services.turn import NOBODY, Call
from tests.support.waiting import eventually
from tests.unit.fakes import Asking, FakeClient, House, slot

REFUSED = errors.error("lemonade.refused", "no memory", upstream_status=500, upstream_type="model_load_error")
FULL = errors.error("lemonade.refused", "all are pinned", upstream_status=409, upstream_type="slots_pinned_error")
AWAY = errors.error("lemonade.unavailable", "away")


@pytest.fixture
def house() -> Iterator[House]:
    made = House(slot("primary", "m", wait_s=20), slot("second", "n", wait_s=20))
    made.lemond.capacity = {"llm": 1}
    with made.running():
        yield made


def want(house: House, model: str = "m") -> Want:
    return Want(model, next((one for one in house.observer.snapshot.configs if one.model == model), None))


def ask(house: House, model: str = "m", wait_s: float = 20, client: FakeClient | None = None) -> Asking:
    """A request on a thread of its own, which waits by now."""
    before = house.leases.waiting(model)
    asking = Asking(lambda: house.control.lease(want(house, model), wait_s, client or FakeClient()))
    eventually(lambda: not asking.is_alive() or house.leases.waiting(model) > before, "it waits")
    return asking


def lease(house: House, model: str = "m") -> Lease:
    made = house.control.lease(want(house, model), 20, FakeClient())
    assert isinstance(made, Lease)
    return made


# -- leases


def test_a_resident_model_is_leased_without_a_word_to_lemond(house: House) -> None:
    house.lemond.put("m")
    house.look()
    assert lease(house).resident.model == "m"
    assert house.lemond.calls == []


def test_many_requests_join_one_load(house: House) -> None:
    house.folder.put(slot("primary", "m", max_in_flight=20))
    house.look()
    house.lemond.gate.clear()
    them = [ask(house) for _ in range(20)]
    assert house.lemond.loading.wait(20)
    house.lemond.gate.set()
    leases = [one.result() for one in them]
    assert house.lemond.calls == [("load", "m")]
    assert {one.resident.pid for one in leases} == {101}
    assert house.leases.in_flight("m") == 20
    eventually(lambda: house.state() == "ready")
    assert [one.kind for one in house.store.told("slot.load")] == ["slot.load"]


def test_a_failed_load_fails_all_who_wait_with_its_typed_error(house: House) -> None:
    house.lemond.failures["m"] = REFUSED
    house.lemond.gate.clear()
    them = [ask(house) for _ in range(5)]
    assert house.lemond.loading.wait(20)
    house.lemond.gate.set()
    for one in them:
        with pytest.raises(Hal0Error, match="'m' could not be loaded: no memory") as problem:
            one.result()
        assert problem.value.code == "model.load_failed"
    assert house.lemond.calls == [("load", "m")]
    assert (house.leases.waiting("m"), house.leases.in_flight("m")) == (0, 0)
    eventually(lambda: house.reason() == "load_failed")


def test_a_client_that_leaves_while_it_waits_frees_its_place(house: House) -> None:
    house.lemond.gate.clear()
    client = FakeClient()
    leaving, staying = ask(house, client=client), ask(house)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        leaving.result()
    assert problem.value.code == "client.gone"
    assert house.leases.waiting("m") == 1
    house.lemond.gate.set()
    staying.result().release()
    assert house.leases.in_flight("m") == 0


def test_a_client_that_has_left_already_waits_for_nothing(house: House) -> None:
    house.lemond.gate.clear()
    with pytest.raises(Hal0Error, match="closed its connection"):
        house.control.lease(want(house), 20, FakeClient(gone=True))
    assert house.leases.waiting("m") == 0


def test_a_request_whose_time_is_up_is_told_to_come_back(house: House) -> None:
    house.lemond.gate.clear()
    with pytest.raises(Hal0Error) as problem:
        house.control.lease(want(house), 0.01, FakeClient())
    assert (problem.value.code, problem.value.retry_after) == ("slot.loading", 10)
    assert house.leases.waiting("m") == 0
    house.lemond.gate.set()
    eventually(lambda: "m" in house.lemond.held, "the load goes on")
    assert house.leases.in_flight("m") == 0


def test_requests_left_over_after_a_job_get_a_load_of_their_own(house: House) -> None:
    house.leases.take(None, "m")
    house.control.load(want(house, "n"), "ann").wait(20)
    eventually(lambda: ("load", "m") in house.lemond.calls and house.leases.waiting("m") == 0)


def test_stopping_tells_everybody_who_waits(house: House) -> None:
    house.lemond.gate.clear()
    them = [ask(house), ask(house, "n")]
    house.control.stop()
    for one in them:
        with pytest.raises(Hal0Error) as problem:
            one.result()
        assert problem.value.code == "system.stopping"


def test_a_request_after_the_stop_is_told_at_once(house: House) -> None:
    house.control.stop()
    with pytest.raises(Hal0Error) as problem:
        lease(house)
    assert problem.value.code == "system.stopping"
    assert house.leases.waiting("m") == 0


def test_a_request_after_the_stop_does_not_wait_for_a_place(house: House) -> None:
    lease(house)
    house.control.stop()
    with pytest.raises(Hal0Error) as problem:
        lease(house)
    assert problem.value.code == "system.stopping"
    assert house.leases.waiting("m") == 0


def test_a_job_that_was_queued_at_the_stop_ends_with_it() -> None:
    house = House(slot())
    job = house.control.load(Want("m", slot()), "ann")
    house.control.stop()
    house.control.run()
    with pytest.raises(Hal0Error) as problem:
        job.wait(0)
    assert problem.value.code == "system.stopping"
    assert house.lemond.calls == []


def test_an_act_under_way_ends_when_nobody_looks_any_more() -> None:
    house = House(slot())
    house.observer.step()
    house.observer.stop()
    with pytest.raises(Hal0Error) as problem:
        house.acts.load("id", "m", slot(), Errand(Cause(), 20))
    assert problem.value.code == "system.stopping"


def test_a_fault_of_our_own_does_not_end_the_worker(house: House) -> None:
    house.lemond.failures["m"] = ZeroDivisionError()
    with pytest.raises(Hal0Error) as problem:
        house.control.lease(want(house), 20, FakeClient())
    assert problem.value.code == "system.internal"
    del house.lemond.failures["m"]
    lease(house, "n").release()


# -- acts


def test_never_two_acts_at_once(house: House) -> None:
    house.lemond.capacity = {"llm": 2}

    def served(model: str) -> None:
        for _ in range(3):
            lease(house, model).release()

    for one in [Asking(lambda model=model: served(model)) for model in ("m", "n", "o", "m", "n", "o")]:
        one.result()
    assert house.lemond.most_busy == 1


def test_a_victim_is_drained_and_unloaded_before_the_load(house: House) -> None:
    first = lease(house, "m")
    asking = ask(house, "n")
    eventually(lambda: house.state() == "unloading", "the victim drains")
    assert house.lemond.calls == [("load", "m")]
    late = ask(house, "m")
    first.release()
    asking.result().release()
    assert house.lemond.calls[:3] == [("load", "m"), ("unload", "m"), ("load", "n")]
    late.result().release()
    (displaced, *_) = house.store.told("evict.displaced")
    assert (displaced.slot, displaced.data["displaced_by"]) == ("primary", "n")


def test_the_victim_is_the_least_recently_used_by_us(house: House) -> None:
    house.lemond.capacity = {"llm": 2}
    lease(house, "m").release()
    lease(house, "n").release()
    lease(house, "m").release()
    lease(house, "o").release()
    assert ("unload", "n") in house.lemond.calls
    assert ("unload", "m") not in house.lemond.calls


def test_a_displaced_slot_says_so(house: House) -> None:
    lease(house, "m").release()
    lease(house, "n").release()
    eventually(lambda: house.reason() == "displaced")
    record = house.observer.snapshot.record("primary")
    assert record.message == "evicted to make room for n (auto-reloads on next request)"
    assert (record.loads, record.evictions) == (1, 1)


def test_when_all_are_pinned_nothing_is_touched(house: House) -> None:
    house.lemond.put("m", pinned=True)
    house.look()
    with pytest.raises(Hal0Error, match="Unpin one of: m") as problem:
        lease(house, "n")
    assert (problem.value.code, problem.value.details) == ("pool.all_pinned", {"models": ["m"]})
    assert house.lemond.calls == []
    house.look()
    assert house.state("second") == "offline"


def test_a_slots_pin_protects_even_what_lemond_does_not_know_pinned(house: House) -> None:
    house.folder.put(slot("primary", "m", pinned=True))
    house.lemond.put("m")
    house.look()
    with pytest.raises(Hal0Error) as problem:
        lease(house, "n")
    assert problem.value.code == "pool.all_pinned"


def test_lemonds_own_refusal_for_pins_is_no_fault_of_the_model(house: House) -> None:
    house.lemond.failures["m"] = FULL
    with pytest.raises(Hal0Error) as problem:
        lease(house, "m")
    assert problem.value.code == "pool.all_pinned"
    house.look()
    assert house.state() == "offline"


def test_a_victim_that_stays_busy_is_left_loaded_and_opened_again(house: House) -> None:
    house.folder.put(slot("primary", "m", max_in_flight=2))
    house.folder.put(slot("second", "n", wait_s=2))
    house.look()
    held = lease(house, "m")
    with pytest.raises(Hal0Error, match="'m' still answers requests") as problem:
        lease(house, "n")
    assert problem.value.code == "slot.loading"
    assert house.lemond.calls == [("load", "m")]
    lease(house, "m").release()
    held.release()


def test_a_failed_load_records_whom_it_took_along(house: House) -> None:
    house.lemond.capacity = {"llm": 4, "embedding": 4}
    house.lemond.put("n")
    house.lemond.put("o")
    house.look()
    house.lemond.failures["m"], house.lemond.wipes = REFUSED, True
    with pytest.raises(Hal0Error):
        lease(house, "m")
    (told,) = house.store.told("slot.load")
    assert told.data["victims"] == ["n", "o"]
    assert told.level == "error"


def test_a_slot_whose_model_was_wiped_by_a_failed_load_says_which(house: House) -> None:
    house.lemond.capacity = {"llm": 2}
    house.lemond.put("m")
    house.look()
    house.lemond.failures["n"], house.lemond.wipes = REFUSED, True
    with pytest.raises(Hal0Error):
        lease(house, "n")
    eventually(lambda: house.reason() == "nuclear")
    assert "loading n failed" in house.observer.snapshot.record("primary").message


def test_a_lemond_that_went_away_in_a_load_is_no_fault_of_the_model(house: House) -> None:
    house.lemond.failures["m"] = AWAY
    with pytest.raises(Hal0Error) as problem:
        lease(house, "m")
    assert problem.value.code == "lemonade.unavailable"
    house.look()
    assert house.state() == "offline"


def losing(house: House, times: int) -> None:
    """Somebody's wipe takes the model between the end of its load and the next look, so many times."""
    load, left = house.lemond.load, iter(range(times))

    def load_and_lose(body: Mapping[str, Any]) -> None:
        load(body)
        if next(left, None) is not None:
            house.lemond.drop(body["model_name"])

    house.lemond.load = load_and_lose  # type: ignore[method-assign]


def test_a_model_that_left_right_after_its_load_is_loaded_once_more_for_those_who_wait(house: House) -> None:
    losing(house, times=1)
    assert lease(house, "m").resident.model == "m"
    assert house.lemond.calls == [("load", "m"), ("load", "m")]


def test_a_model_that_leaves_after_every_load_is_gone_and_its_slot_is_not_to_blame(house: House) -> None:
    losing(house, times=9)
    with pytest.raises(Hal0Error) as problem:
        lease(house, "m")
    assert (problem.value.code, problem.value.status) == ("model.gone", 503)
    house.look()
    assert house.state() == "offline"


def test_nothing_is_loaded_while_nothing_answers(house: House) -> None:
    house.lemond.link = Link.DOWN
    house.look()
    with pytest.raises(Hal0Error) as problem:
        lease(house, "m")
    assert problem.value.code == "lemonade.unavailable"
    assert house.lemond.calls == []


def test_a_silent_lemond_is_waited_for(house: House) -> None:
    house.lemond.link = Link.BUSY
    asking = ask(house)
    house.look()
    assert house.lemond.calls == []
    house.lemond.link = Link.UP
    asking.result().release()


def test_a_model_loaded_by_somebody_else_meanwhile_is_not_loaded_again(house: House) -> None:
    house.lemond.link = Link.BUSY
    asking = ask(house)
    house.lemond.put("m")
    house.lemond.link = Link.UP
    asking.result().release()
    assert house.lemond.calls == []


def test_a_buried_loading_is_unloaded_before_it_is_loaded_anew(house: House) -> None:
    dead = house.lemond.put("m")
    house.look()
    house.leases.bury(dead)
    assert lease(house).resident.address != dead.address
    assert house.lemond.calls == [("unload", "m"), ("load", "m")]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (None, "model.unknown"),
        ({"id": "m", "downloaded": False}, "model.not_downloaded"),
        ({"id": "m", "labels": ["embeddings"]}, "model.type_mismatch"),
    ],
    ids=["unknown", "not-downloaded", "of-another-type"],
)
def test_a_load_that_cannot_succeed_never_reaches_lemond(house: House, row: dict[str, Any] | None, code: str) -> None:
    house.lemond.rows.pop("m")
    if row is not None:
        house.lemond.rows["m"] = row
    house.lemond.put("n")
    house.look()
    with pytest.raises(Hal0Error) as problem:
        lease(house, "m")
    assert problem.value.code == code
    assert house.lemond.calls == []
    assert "n" in house.lemond.held


def test_a_load_carries_the_slots_options(house: House) -> None:
    house.folder.put(slot("primary", "m", ctx_size=512, pinned=True, device="cpu"))
    house.look()
    lease(house).release()
    assert house.lemond.bodies == [
        {
            "model_name": "m",
            "pinned": True,
            "ctx_size": 512,
            "llamacpp_args": "--parallel 1 --alias m",
            "llamacpp_backend": "cpu",
        }
    ]


def test_a_load_is_an_operation_from_its_start_to_its_end(house: House) -> None:
    house.lemond.gate.clear()
    job = house.control.load(want(house), "ann")
    assert house.lemond.loading.wait(20)
    eventually(lambda: house.state() == "starting")
    running = house.store.operation(job.id)
    assert running is not None
    assert (running.status, running.slot, running.cause, running.owner) == (
        Status.RUNNING,
        "primary",
        Cause("operator", "ann"),
        "test",
    )
    house.lemond.gate.set()
    assert job.wait(20)
    ended = house.store.operation(job.id)
    assert ended is not None
    assert (ended.status, set(ended.result)) == (Status.DONE, {"load_ms"})


def test_a_job_is_known_by_its_id_from_the_moment_on_that_somebody_has_it(house: House) -> None:
    house.lemond.gate.clear()
    first = house.control.load(want(house), "ann")
    assert house.lemond.loading.wait(20)
    queued = house.control.unload(want(house), "bob")
    told = house.control.standing(queued.id)
    assert told is not None
    assert (told.status, told.kind, told.model, told.slot, told.started) == ("queued", "unload", "m", "primary", None)
    running = house.control.standing(first.id)
    assert running is not None
    assert (running.status, running.cause.who, running.finished) == ("running", "ann", None)
    house.lemond.gate.set()
    assert queued.wait(20)
    told = house.control.standing(queued.id)
    assert told is not None
    assert (told.status, told.code, told.finished is not None) == ("done", None, True)


def test_how_a_swap_ended_is_told_also_when_its_load_went_well(house: House) -> None:
    lease(house).release()
    changed = slot("primary", "o", wait_s=20)

    def keep() -> None:
        raise OSError("the disk is full")

    job = house.control.swap(Want("m", changed), "o", "ann", keep)
    with pytest.raises(Hal0Error):
        job.wait(20)
    told = joined(house.control.standing(job.id), house.store.operation(job.id))
    assert told is not None
    assert (told.status, told.code, told.model) == ("failed", "system.storage", "o")


def test_jobs_that_ended_are_remembered_within_bounds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "REMEMBERED", 2)
    first = house.control.unload(want(house), "ann")
    assert first.wait(20)
    for _ in range(2):
        assert house.control.unload(want(house), "ann").wait(20)
    assert house.control.standing(first.id) is None


# -- people


def test_a_person_unloads_and_the_slot_says_who(house: House) -> None:
    lease(house).release()
    assert house.control.unload(want(house), "ann").wait(20)
    eventually(lambda: house.reason() == "operator")
    assert house.observer.snapshot.record("primary").message == "unloaded by ann"
    assert house.observer.snapshot.record("primary").evictions == 0


def test_the_unload_of_a_busy_model_is_bounded_and_leaves_it_loaded(house: House) -> None:
    held = lease(house)
    house.folder.put(slot("primary", "m", wait_s=0.05))
    house.look()
    with pytest.raises(Hal0Error) as problem:
        house.control.unload(want(house), "ann").wait(20)
    assert (problem.value.code, problem.value.retry_after) == ("slot.loading", 10)
    assert "m" in house.lemond.held
    eventually(lambda: house.state() == "ready")
    held.release()


def test_a_model_that_lemond_still_answers_with_is_not_unloaded_before_that_has_ended(house: House) -> None:
    lease(house).release()
    house.lemond.answers("m", True)
    job = house.control.unload(want(house), "ann")
    eventually(lambda: house.state() == "unloading")
    looks = house.observer.snapshot
    eventually(lambda: house.observer.snapshot is not looks, "it is looked at again")
    assert ("unload", "m") not in house.lemond.calls
    house.lemond.answers("m", False)
    assert job.wait(20)
    assert house.lemond.calls == [("load", "m"), ("unload", "m")]


def test_the_wait_for_what_lemond_still_answers_is_bounded(house: House) -> None:
    lease(house).release()
    house.lemond.answers("m", True)
    house.folder.put(slot("primary", "m", wait_s=0.05))
    house.look()
    with pytest.raises(Hal0Error) as problem:
        house.control.unload(want(house), "ann").wait(20)
    assert (problem.value.code, problem.value.retry_after) == ("slot.loading", 10)
    assert house.lemond.calls == [("load", "m")]
    lease(house).release()


def test_an_unload_of_what_is_not_loaded_is_fine(house: House) -> None:
    assert house.control.unload(want(house), "ann").wait(20)
    house.look()
    assert house.state() == "offline"


def test_a_request_during_an_unload_is_served_by_the_load_after_it(house: House) -> None:
    held = lease(house)
    job = house.control.unload(want(house), "ann")
    eventually(lambda: house.state() == "unloading")
    late = ask(house)
    held.release()
    assert job.wait(20)
    late.result().release()
    assert house.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "m")]


def test_people_who_ask_for_the_same_thing_join_one_job(house: House) -> None:
    house.lemond.gate.clear()
    one, two = house.control.load(want(house), "ann"), house.control.load(want(house), "bob")
    assert one is two
    house.lemond.gate.set()
    assert one.wait(20)
    assert house.control.load(want(house), "ann") is not one


def swapped(house: House, model: str = "o") -> tuple[Any, list[str]]:
    kept: list[str] = []
    changed = slot("primary", model, wait_s=20)
    job = house.control.swap(Want("m", changed), model, "ann", keep=lambda: kept.append(model))
    return job, kept


def test_a_swap_unloads_the_old_loads_the_new_and_is_kept(house: House) -> None:
    lease(house).release()
    job, kept = swapped(house)
    assert job.wait(20)
    assert kept == ["o"]
    assert house.lemond.calls[1:] == [("unload", "m"), ("load", "o")]


def test_a_swap_is_no_eviction(house: House) -> None:
    lease(house).release()
    eventually(lambda: house.state() == "ready")
    job, _ = swapped(house)
    assert job.wait(20)
    house.look()
    record = house.observer.snapshot.record("primary")
    assert (record.reason, record.evictions) == ("swapped", 0)
    assert house.store.told("evict.displaced") == []


def test_who_waits_for_the_old_model_of_a_swapped_slot_is_told_that_it_moved(house: House) -> None:
    held = lease(house)
    job, _ = swapped(house)
    eventually(lambda: house.state() == "unloading")
    waiting = Asking(lambda: lease(house))
    eventually(lambda: house.leases.waiting("m") == 1)
    held.release()
    assert job.wait(20)
    with pytest.raises(Moved):
        waiting.result()
    assert house.lemond.calls[-1] == ("load", "o")


def test_swaps_of_one_slot_to_different_models_are_different_jobs(house: House) -> None:
    house.lemond.gate.clear()
    (one, _), (two, _) = swapped(house, "n"), swapped(house, "o")
    assert one is not two
    house.lemond.gate.set()
    assert one.wait(20)
    assert two.wait(20)


def test_a_swap_to_a_model_that_does_not_load_brings_the_old_one_back(house: House) -> None:
    lease(house).release()
    house.lemond.failures["o"] = REFUSED
    job, kept = swapped(house)
    with pytest.raises(Hal0Error) as problem:
        job.wait(20)
    assert problem.value.code == "model.load_failed"
    assert kept == []
    assert set(house.lemond.held) == {"m"}
    eventually(lambda: house.state() == "ready")


def test_a_swap_to_a_model_nobody_knows_leaves_the_old_one_alone(house: House) -> None:
    lease(house).release()
    job, kept = swapped(house, "unknown")
    with pytest.raises(Hal0Error) as problem:
        job.wait(20)
    assert (problem.value.code, kept) == ("model.unknown", [])
    assert house.lemond.calls == [("load", "m")]


def test_a_swap_of_a_model_that_was_not_loaded_brings_nothing_back(house: House) -> None:
    house.lemond.failures["o"] = REFUSED
    job, _ = swapped(house)
    with pytest.raises(Hal0Error):
        job.wait(20)
    assert house.lemond.calls == [("load", "o")]


# -- pools


@pytest.fixture
def pools() -> Iterator[House]:
    """Two pools of one place each: m and n are chat models, e and f embedders."""
    made = House(
        slot("primary", "m", wait_s=20),
        slot("second", "n", wait_s=20),
        slot("embed", "e", type="embedding", wait_s=20),
        models=[
            *({"id": one} for one in ("m", "n", "o")),
            *({"id": one, "labels": ["embeddings"]} for one in ("e", "f")),
        ],
    )
    made.lemond.capacity = {"llm": 1, "embedding": 1}
    with made.running():
        yield made


def test_a_drain_in_one_pool_does_not_keep_another_pool_waiting(pools: House) -> None:
    held = lease(pools, "m")
    draining = ask(pools, "n")
    eventually(lambda: pools.state() == "unloading", "the victim drains")
    lease(pools, "e").release()
    assert pools.leases.waiting("n") == 1
    held.release()
    draining.result().release()
    assert pools.lemond.most_busy == 1


def test_jobs_of_one_pool_come_one_after_the_other(pools: House) -> None:
    held = lease(pools, "m")
    first, second = pools.control.load(want(pools, "n"), "ann"), pools.control.load(Want("o"), "bob")
    eventually(lambda: pools.state() == "unloading", "the victim drains")
    assert not second.done.is_set()
    held.release()
    assert first.wait(20)
    assert second.wait(20)
    assert pools.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "n"), ("unload", "n"), ("load", "o")]


def test_lemond_never_gets_two_calls_at_once_from_two_pools(pools: House) -> None:
    pools.lemond.gate.clear()
    one, other = ask(pools, "m"), ask(pools, "e")
    assert pools.lemond.loading.wait(20)
    eventually(lambda: {pools.state(), pools.state("embed")} == {"starting"}, "both are on their way")
    pools.lemond.gate.set()
    one.result().release()
    other.result().release()
    assert pools.lemond.most_busy == 1


def test_a_failed_load_is_not_blamed_for_what_was_unloaded_before_its_turn(pools: House) -> None:
    lease(pools, "e").release()
    pools.lemond.failures["m"] = REFUSED
    with pools.acts._turn.take(lambda: None, Call("loading", "x")):
        failing = ask(pools, "m")
        eventually(lambda: pools.state() == "starting", "it has looked and waits for its turn")
        pools.lemond.drop("e")
    with pytest.raises(Hal0Error):
        failing.result()
    (told,) = [one for one in pools.store.told("slot.load") if one.model == "m"]
    assert "victims" not in told.data


def test_the_npu_is_one_thing_whatever_the_type(pools: House) -> None:
    pools.folder.put(slot("agent", "o", device="npu", wait_s=20))
    pools.folder.put(slot("heard", "f", type="embedding", device="npu", wait_s=20))
    pools.look()
    claims = [pools.acts.claims(one.model or "", one) for one in pools.observer.snapshot.configs if one.device]
    assert frozenset.intersection(*claims) == {"npu"}


# -- loads that nobody wants any more


def test_a_load_that_its_last_client_left_ends_its_drain_and_opens_the_victim(house: House) -> None:
    house.folder.put(slot("primary", "m", max_in_flight=2))
    house.folder.put(slot("second", "n", wait_s=600))
    house.look()
    held, client = lease(house, "m"), FakeClient()
    leaving = ask(house, "n", client=client)
    eventually(lambda: house.state() == "unloading", "the victim drains")
    client.leave()
    with pytest.raises(Hal0Error):
        leaving.result()
    eventually(lambda: house.state() == "ready", "the victim serves again")
    lease(house, "m").release()
    held.release()
    house.look()
    assert house.lemond.calls == [("load", "m")]
    assert house.state("second") == "offline"


def test_a_load_that_somebody_else_joined_goes_on_without_its_clients(house: House) -> None:
    held, client = lease(house, "m"), FakeClient()
    leaving = ask(house, "n", client=client)
    eventually(lambda: house.state() == "unloading", "the victim drains")
    job = house.control.load(want(house, "n"), "ann")
    client.leave()
    with pytest.raises(Hal0Error):
        leaving.result()
    house.look()
    assert house.state() == "unloading"
    held.release()
    assert job.wait(20)
    assert "n" in house.lemond.held


def test_a_load_that_one_of_two_clients_left_goes_on(house: House) -> None:
    held, client = lease(house, "m"), FakeClient()
    leaving, staying = ask(house, "n", client=client), ask(house, "n")
    eventually(lambda: house.state() == "unloading", "the victim drains")
    client.leave()
    with pytest.raises(Hal0Error):
        leaving.result()
    held.release()
    staying.result().release()


def test_a_request_right_after_a_load_was_given_up_is_served(house: House) -> None:
    held, client = lease(house, "m"), FakeClient()
    leaving = ask(house, "n", client=client)
    eventually(lambda: house.state() == "unloading", "the victim drains")
    client.leave()
    late = Asking(lambda: lease(house, "n"))
    with pytest.raises(Hal0Error):
        leaving.result()
    held.release()
    late.result().release()


def test_a_load_waiting_for_its_turn_ends_when_its_client_leaves(pools: House) -> None:
    pools.lemond.gate.clear()
    first = ask(pools, "m")
    assert pools.lemond.loading.wait(20)
    client = FakeClient()
    leaving = ask(pools, "e", client=client)
    eventually(lambda: pools.state("embed") == "starting")
    client.leave()
    with pytest.raises(Hal0Error):
        leaving.result()
    eventually(lambda: pools.state("embed") == "offline")
    pools.lemond.gate.set()
    first.result().release()
    assert pools.lemond.calls == [("load", "m")]


# -- what waits for another load, and is cancelled


def test_a_load_in_line_behind_another_tells_what_it_waits_for_and_can_be_cancelled(pools: House) -> None:
    pools.lemond.gate.clear()
    first = pools.control.load(want(pools, "m"), "ann")
    assert pools.lemond.loading.wait(20)
    in_line, waiting = pools.control.load(want(pools, "n"), "ann"), ask(pools, "n")
    at_its_turn = pools.control.load(want(pools, "e"), "ann")
    eventually(lambda: pools.control.before("e") != NOBODY, "it waits for its turn")
    assert pools.control.before("n") == pools.control.before("e") == Call("loading", "m")
    assert pools.slots.one("second").waits_for == pools.slots.one("embed").waits_for == Call("loading", "m")
    for model in ("n", "e"):
        pools.control.cancel(want(pools, model), "ann")
    for job in (in_line, at_its_turn):
        with pytest.raises(Hal0Error, match="was cancelled by ann") as problem:
            job.wait(20)
        assert problem.value.code == "slot.load_cancelled"
    with pytest.raises(Hal0Error, match="was cancelled by ann"):
        waiting.result()
    assert (pools.leases.waiting("n"), pools.control.before("n")) == (0, NOBODY)
    pools.lemond.gate.set()
    assert first.wait(20)
    assert pools.lemond.calls == [("load", "m")]
    eventually(lambda: (pools.state("embed"), pools.reason("embed")) == ("offline", "never_loaded"))


def test_a_swap_in_line_behind_a_load_tells_what_it_waits_for_and_can_be_cancelled(pools: House) -> None:
    pools.lemond.put("e")
    pools.look()
    pools.lemond.gate.clear()
    first = pools.control.load(want(pools, "m"), "ann")
    assert pools.lemond.loading.wait(20)
    in_line = pools.slots.swap("second", "o", "ann")
    pools.slots.swap("embed", "f", "ann")
    eventually(lambda: pools.control.swapping("embed", "e") == ("f", Call("loading", "m")), "it waits for its turn")
    assert pools.control.swapping("second", "n") == ("o", Call("loading", "m"))
    assert pools.control.swapping("primary", "m") == ("", NOBODY)
    seen = {name: pools.slots.one(name) for name in ("second", "embed")}
    assert {name: (one.swaps_to, one.waits_for.model) for name, one in seen.items()} == {
        "second": ("o", "m"), "embed": ("f", "m"),
    }  # fmt: skip
    for name in seen:
        pools.slots.cancel(name, "ann")
    with pytest.raises(Hal0Error, match="the swap of 'second' to 'o' was cancelled by ann"):
        in_line.wait(20)
    pools.lemond.gate.set()
    assert first.wait(20)
    eventually(lambda: pools.control.swapping("embed", "e") == ("", NOBODY), "it is over")
    assert ("load", "o") not in pools.lemond.calls
    assert pools.slots.one("embed").config == slot("embed", "e", type="embedding", wait_s=20)


def test_a_load_that_lemond_has_begun_is_not_cancelled(house: House) -> None:
    house.lemond.gate.clear()
    job = house.control.load(want(house), "ann")
    assert house.lemond.loading.wait(20)
    with pytest.raises(Hal0Error) as problem:
        house.control.cancel(want(house), "ann")
    assert problem.value.code == "slot.not_waiting"
    house.lemond.gate.set()
    assert job.wait(20)


def test_a_drain_ends_when_hal0_stops(house: House) -> None:
    lease(house, "m")
    job = house.control.load(want(house, "n"), "ann")
    eventually(lambda: house.state() == "unloading", "the victim drains")
    house.control.stop()
    with pytest.raises(Hal0Error) as problem:
        job.wait(20)
    assert problem.value.code == "system.stopping"


# -- what a slot says after a load that was not tried


def test_a_load_that_was_put_off_leaves_the_slots_reason_as_it_was(house: House) -> None:
    lease(house, "n").release()
    assert house.control.unload(want(house, "n"), "ann").wait(20)
    house.look()
    house.folder.put(slot("second", "n", wait_s=0.2))
    held = lease(house, "m")
    house.look()
    with pytest.raises(Hal0Error) as problem:
        house.control.load(want(house, "n"), "bob").wait(20)
    assert problem.value.code == "slot.loading"
    house.look()
    record = house.observer.snapshot.record("second")
    assert (record.state, record.reason, record.message) == ("offline", "operator", "unloaded by ann")
    held.release()


def test_a_displaced_slot_whose_load_was_put_off_is_not_displaced_twice(house: House) -> None:
    lease(house, "n").release()
    held = lease(house, "m")
    eventually(lambda: house.reason("second") == "displaced")
    house.folder.put(slot("second", "n", wait_s=0.2))
    house.look()
    with pytest.raises(Hal0Error):
        house.control.load(want(house, "n"), "bob").wait(20)
    house.look()
    record = house.observer.snapshot.record("second")
    assert (record.reason, record.displaced_by, record.evictions) == ("displaced", "m", 1)
    assert len(house.store.told("evict.displaced")) == 1
    held.release()


# -- a slow lemond


def test_a_lemond_that_is_merely_slow_is_waited_for(house: House) -> None:
    house.lemond.link = Link.SILENT
    asking = ask(house)
    house.look()
    house.look()
    house.lemond.link = Link.UP
    asking.result().release()


def test_a_lemond_that_stays_slow_is_unavailable_after_the_wait(house: House) -> None:
    house.lemond.link = Link.SILENT
    house.folder.put(slot("primary", "m", wait_s=0.2))
    house.look()
    with pytest.raises(Hal0Error) as problem:
        house.control.load(want(house), "ann").wait(20)
    assert problem.value.code == "lemonade.unavailable"


# -- a load with other options


def test_an_operators_load_after_a_change_of_options_loads_anew(house: House) -> None:
    held = lease(house)
    house.folder.put(slot("primary", "m", ctx_size=512, wait_s=20))
    house.look()
    job = house.control.load(want(house), "ann")
    eventually(lambda: house.state() == "unloading", "its requests end first")
    late = ask(house)
    held.release()
    assert job.wait(20)
    late.result().release()
    assert house.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "m")]
    assert house.lemond.bodies[-1]["ctx_size"] == 512
    assert house.control.load(want(house), "ann").wait(20)
    assert len(house.lemond.calls) == 3


def test_requests_are_served_by_what_is_loaded_whatever_its_options(house: House) -> None:
    lease(house).release()
    house.folder.put(slot("primary", "m", ctx_size=512, wait_s=20))
    house.look()
    lease(house).release()
    assert house.lemond.calls == [("load", "m")]


def test_an_operators_load_does_not_join_one_with_older_options(house: House) -> None:
    house.lemond.gate.clear()
    asking = ask(house)
    assert house.lemond.loading.wait(20)
    house.folder.put(slot("primary", "m", ctx_size=512, wait_s=20))
    house.look()
    job = house.control.load(want(house), "ann")
    house.lemond.gate.set()
    asking.result().release()
    assert job.wait(20)
    assert house.lemond.bodies[-1]["ctx_size"] == 512


# -- swaps with company


def test_a_swap_leaves_a_model_that_another_slot_has_where_it_is(house: House) -> None:
    house.lemond.capacity = {"llm": 2}
    house.folder.put(slot("twin", "m"))
    house.look()
    lease(house).release()
    job, kept = swapped(house)
    assert job.wait(20)
    assert kept == ["o"]
    assert house.lemond.calls == [("load", "m"), ("load", "o")]
    (told,) = house.store.told("slot.keep")
    assert (told.slot, told.model, told.data["kept_for"]) == ("primary", "m", ["twin"])


def test_a_swap_takes_the_place_of_a_shared_model_when_there_is_no_other(house: House) -> None:
    house.folder.put(slot("twin", "m"))
    house.look()
    lease(house).release()
    job, _ = swapped(house)
    assert job.wait(20)
    assert house.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "o")]


@pytest.mark.parametrize("problem", [OSError("no space left"), errors.error("system.storage", "no space left")])
def test_a_swap_that_cannot_be_written_down_brings_the_old_model_back(house: House, problem: Exception) -> None:
    lease(house).release()

    def keep() -> None:
        raise problem

    job = house.control.swap(Want("m", slot("primary", "o", wait_s=20)), "o", "ann", keep)
    with pytest.raises(Hal0Error) as told:
        job.wait(20)
    assert told.value.code == "system.storage"
    assert set(house.lemond.held) == {"m"}
    eventually(lambda: house.state() == "ready")


def test_a_slot_tells_that_its_loaded_options_differ(house: House) -> None:
    lease(house).release()
    eventually(lambda: house.state() == "ready")
    assert house.slots.one("primary").as_json()["options_differ"] is False
    house.folder.put(slot("primary", "m", ctx_size=512))
    house.look()
    assert house.slots.one("primary").as_json()["options_differ"] is True
