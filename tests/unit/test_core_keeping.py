"""What hal0 does by itself: who is restored, unloaded, pinned, and in which order."""

from __future__ import annotations

import pytest

from hal0app.core.clock import Moment
from hal0app.core.keeping import Facts, IdleUnload, Pin, Restore, Task, Unpin, Use, own_pins, tasks, vanished
from hal0app.core.operation import Cause, Kind, Operation, Status
from hal0app.core.reasons import Reason
from hal0app.core.residency import Address, Link, Observation, Resident
from hal0app.core.slot import BLAMELESS, FAILURES, Record, State
from hal0app.core.slot_config import SlotConfig, read_slot
from hal0app.errors import CODES

NOW = Moment(1000.0, 5000.0)


def slot(name: str, **more: object) -> SlotConfig:
    return read_slot(name, {"type": "llm", "model": f"model-{name}", **more})


def seen(*models: str, limit: int = 2, pinned: tuple[str, ...] = (), link: Link = Link.UP) -> Observation:
    residents = tuple(Resident(model, pinned=model in pinned) for model in models)
    return Observation(NOW, link, residents, {"llm": limit})


def offline(name: str, reason: Reason) -> Record:
    return Record(name, State.OFFLINE, reason, version=1)


def ready(name: str, since: float = 0.0) -> Record:
    return Record(name, State.READY, Reason.NONE, since=since, version=1)


def plan(
    slots: list[SlotConfig],
    records: list[Record],
    look: Observation,
    uses: dict[str, Use] | None = None,
    started: float = 0.0,
    pins: dict[str, Address] | None = None,
) -> list[Task]:
    used = uses or {}
    by_name = {one.slot: one for one in records}
    return tasks(Facts(slots, by_name, look, lambda model: used.get(model, Use()), NOW, started, pins or {}))


def test_lost_slots_that_want_it_come_back_by_priority() -> None:
    slots = [slot("a", on_evict="restore", priority=10), slot("b", on_evict="restore", priority=90), slot("c")]
    records = [offline(name, Reason.LEMOND_RESTARTED) for name in "abc"]
    assert plan(slots, records, seen()) == [Restore(slots[1]), Restore(slots[0])]


@pytest.mark.parametrize("reason", [Reason.NEVER_LOADED, Reason.OPERATOR, Reason.IDLE, Reason.DISABLED])
def test_a_slot_that_nobody_lost_is_left_alone(reason: Reason) -> None:
    one = slot("a", on_evict="restore")
    assert plan([one], [offline("a", reason)], seen()) == []


def test_a_restore_pushes_nobody_out() -> None:
    one = slot("a", on_evict="restore")
    lost = [offline("a", Reason.DISPLACED)]
    assert plan([one], lost, seen("x", "y", limit=2)) == []
    assert plan([one], lost, seen("x", limit=2)) == [Restore(one)]
    assert plan([one], lost, seen("x", "y", limit=-1)) == [Restore(one)]


def test_nothing_is_done_while_lemond_is_silent() -> None:
    one = slot("a", on_evict="restore", pinned=True)
    assert plan([one], [offline("a", Reason.EVICTED)], seen(link=Link.BUSY)) == []


def test_a_pin_that_is_wrong_is_put_right() -> None:
    slots = [slot("a", pinned=True), slot("b")]
    look = seen("model-a", "model-b", pinned=("model-b",))
    assert plan(slots, [], look) == [Pin("model-a", True), Pin("model-b", False)]


def test_a_shared_model_is_pinned_while_one_slot_wants_it() -> None:
    slots = [slot("a", model="m", pinned=True), slot("b", model="m")]
    assert plan(slots, [], seen("m", pinned=("m",))) == []


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (Use(last=NOW.tick - 600), 10),
        (Use(last=NOW.tick - 299), None),
        (Use(in_flight=1, last=NOW.tick - 600), None),
        (Use(waiting=1, last=NOW.tick - 600), None),
        (Use(), 16),
    ],
    ids=["unused", "used lately", "running", "waited for", "never used since it became ready"],
)
def test_an_unused_model_is_unloaded_after_its_time(use: Use, expected: int | None) -> None:
    one = slot("a", idle_unload_s=300)
    found = plan([one], [ready("a", since=NOW.wall - 1000)], seen("model-a"), {"model-a": use})
    assert found == ([IdleUnload(one, expected)] if expected else [])


@pytest.mark.parametrize(
    ("started", "since", "expected"),
    [(NOW.tick - 299, NOW.wall - 9000, None), (0.0, NOW.wall - 299, None), (NOW.tick - 300, NOW.wall - 9000, 5)],
    ids=["hal0 was started lately", "it was loaded again lately", "both are long ago"],
)
def test_use_counts_from_the_start_of_hal0_and_of_the_loading(
    started: float, since: float, expected: int | None
) -> None:
    one = slot("a", idle_unload_s=300)
    for use in (Use(), Use(last=NOW.tick - 900)):
        found = plan([one], [ready("a", since)], seen("model-a"), {"model-a": use}, started)
        assert found == ([IdleUnload(one, expected)] if expected else [])


def test_a_pin_that_no_slot_wants_any_more_is_taken_back() -> None:
    look = seen("x", "model-a", pinned=("x", "model-a"))
    ours = own_pins([slot("x", model="x", pinned=True), slot("a", pinned=True)], look, {})
    assert set(ours) == {"x", "model-a"}
    left = [slot("x", model="other", pinned=True), slot("a", pinned=True, enabled=False)]
    assert own_pins(left, look, ours) == ours
    assert plan(left, [], look, pins=ours) == [Unpin("x"), Unpin("model-a")]


def test_a_pin_of_somebody_else_is_left_alone() -> None:
    look = seen("x", pinned=("x",))
    assert own_pins([slot("a", pinned=True)], look, {}) == {}
    assert plan([slot("a", pinned=True)], [], look) == []


def test_a_pin_ends_with_its_loading() -> None:
    wanting = slot("x", model="x", pinned=True)
    ours = own_pins([wanting], Observation(NOW, Link.UP, (Resident("x", pid=1, pinned=True),)), {})
    again = Observation(NOW, Link.UP, (Resident("x", pid=2, pinned=True),))
    assert own_pins([], again, ours) == {}
    assert plan([], [], again, pins=ours) == []
    assert own_pins([wanting], seen(), ours) == {}


def test_a_shared_model_stays_while_one_slot_wants_it_for_ever() -> None:
    slots = [slot("a", model="m", idle_unload_s=1), slot("b", model="m")]
    assert plan(slots, [ready("a"), ready("b")], seen("m")) == []


def unload(model: str, tick: float) -> Operation:
    at = Moment(tick, 0.0)
    return Operation("1", Kind.UNLOAD, model, None, Cause("operator"), at, Status.DONE, finished=at)


def test_models_that_leave_without_our_doing_have_vanished() -> None:
    before = Observation(Moment(10, 0), Link.UP, (Resident("a"), Resident("b"), Resident("c")))
    now = Observation(Moment(20, 0), Link.UP, (Resident("c"),))
    assert vanished(before, now, []) == {"a", "b"}
    assert vanished(before, now, [unload("a", 15)]) == {"b"}
    assert vanished(before, now, [unload("a", 5)]) == {"a", "b"}


def test_nothing_vanishes_from_another_lemond_or_from_a_silent_one() -> None:
    before = Observation(Moment(10, 0), Link.UP, (Resident("a"), Resident("b")), boot="1")
    assert vanished(before, Observation(Moment(20, 0), Link.UP, boot="2"), []) == set()
    assert vanished(before, Observation(Moment(20, 0), Link.BUSY, boot="1"), []) == set()


def test_every_failure_that_has_a_state_of_its_own_is_an_error_code() -> None:
    assert set(FAILURES) <= set(CODES)
    assert set(BLAMELESS) <= set(CODES)
    assert not set(FAILURES) & set(BLAMELESS)
