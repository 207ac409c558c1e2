"""services/leases: who uses which model, who waits, and who may not."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hal0app import errors
from hal0app.core.fair_queue import Caller, Priority
from hal0app.services.lease import Lease
from hal0app.services.leases import Leases, Terms
from hal0app.services.line import Ticket
from tests.unit.fakes import Asking, HandClock, StrictClock, resident


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def leases(clock: HandClock) -> Leases:
    return Leases(clock)


MANY = Terms(places=20)


def lease(leases: Leases, model: str = "m", pid: int = 1) -> Lease:
    found = leases.take(resident(model, pid), model, MANY)
    assert isinstance(found, Lease)
    return found


def ticket(leases: Leases, model: str = "m") -> Ticket:
    found = leases.take(None, model)
    assert isinstance(found, Ticket)
    return found


def test_a_resident_model_is_leased_at_once(leases: Leases) -> None:
    one, two = lease(leases), lease(leases)
    assert leases.in_flight("m") == 2
    one.release()
    two.release()
    assert (leases.in_flight("m"), leases.in_flight(None)) == (0, 0)


def test_giving_a_lease_back_twice_counts_once(leases: Leases) -> None:
    one, two = lease(leases), lease(leases)
    one.release()
    one.release()
    assert leases.in_flight("m") == 1
    two.release()


def test_an_absent_model_gives_a_ticket_and_is_wanted(leases: Leases) -> None:
    ticket(leases)
    ticket(leases)
    ticket(leases, "n")
    assert (leases.waiting("m"), leases.waiting("n"), leases.waiting(None)) == (2, 1, 0)
    assert sorted(leases.wanted()) == ["m", "n"]


def test_a_load_turns_all_tickets_into_leases_at_once(leases: Leases) -> None:
    them = [ticket(leases) for _ in range(20)]
    other = ticket(leases, "n")
    leases.grant(resident("m", 7), MANY)
    assert (leases.in_flight("m"), leases.waiting("m"), leases.wanted()) == (20, 0, ["n"])
    assert all(one.done.is_set() and one.lease and one.lease.resident.pid == 7 for one in them)
    assert not other.done.is_set()


def test_a_failed_load_fails_all_tickets_with_its_error(leases: Leases) -> None:
    them = [ticket(leases) for _ in range(3)]
    problem = errors.error("model.load_failed", "bad")
    leases.refuse("m", problem)
    assert all(one.done.is_set() and one.error is problem and one.lease is None for one in them)
    assert leases.wanted() == []


def test_a_withdrawn_ticket_is_neither_granted_nor_wanted(leases: Leases) -> None:
    one = ticket(leases)
    leases.withdraw(one)
    leases.withdraw(one)
    leases.grant(resident())
    assert (leases.wanted(), leases.in_flight("m")) == ([], 0)


def test_withdrawing_after_the_grant_gives_the_lease_back(leases: Leases) -> None:
    one = ticket(leases)
    leases.grant(resident())
    assert leases.in_flight("m") == 1
    leases.withdraw(one)
    leases.withdraw(one)
    assert leases.in_flight("m") == 0


def test_a_closed_model_gives_tickets_until_it_is_opened(leases: Leases) -> None:
    leases.close("m")
    waiting = leases.take(resident(), "m", MANY)
    assert isinstance(waiting, Ticket)
    assert not waiting.done.is_set()
    assert not leases.usable(resident())
    assert leases.usable(resident("n"))
    leases.open("m")
    assert isinstance(leases.take(resident(), "m", MANY), Lease)


@pytest.mark.parametrize(
    "opening", [lambda them: them.grant(resident()), lambda them: them.refuse("m", errors.error("slot.busy", "x"))]
)
def test_a_grant_or_a_refusal_opens_a_closed_model(leases: Leases, opening: object) -> None:
    leases.close("m")
    opening(leases)  # type: ignore[operator]
    assert isinstance(leases.take(resident(), "m"), Lease)


def test_a_buried_loading_gives_tickets_and_the_next_loading_leases(leases: Leases) -> None:
    leases.bury(resident("m", 1))
    waiting = leases.take(resident("m", 1), "m")
    assert isinstance(waiting, Ticket)
    leases.withdraw(waiting)
    assert isinstance(leases.take(resident("m", 2), "m"), Lease)
    assert isinstance(leases.take(resident("n", 1), "n"), Lease)


def test_an_idle_model_is_drained(leases: Leases) -> None:
    assert leases.drained("m", 0.0)
    lease(leases).release()
    assert leases.drained("m", 0.0)


def test_a_busy_model_is_not_drained_when_the_time_is_up(leases: Leases) -> None:
    lease(leases)
    assert not leases.drained("m", 0.0)
    assert leases.drained("n", 0.0)


def test_draining_waits_for_the_last_lease() -> None:
    leases = Leases(StrictClock())
    one, two = lease(leases), lease(leases)
    leases.close("m")
    draining = Asking(lambda: leases.drained("m", 20))
    one.release()
    assert not leases.drained("m", 0)
    two.release()
    assert draining.result()


def test_the_last_use_is_the_later_of_lease_and_release(leases: Leases, clock: HandClock) -> None:
    assert leases.last_used("m") == float("-inf")
    one = lease(leases)
    assert leases.last_used("m") == 1000
    clock.pass_s(30)
    one.release()
    clock.pass_s(30)
    one.release()
    assert leases.last_used("m") == 1030


def test_many_at_once_leave_no_count_behind() -> None:
    leases = Leases(StrictClock())
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(20)
        for turn in range(60):
            found = leases.take(resident() if (turn + number) % 3 else None, "m")
            if isinstance(found, Ticket):
                if turn % 2:
                    leases.grant(resident())
                leases.withdraw(found)
            else:
                found.release()

    for one in [Asking(lambda number=number: work(number)) for number in range(8)]:
        one.result()
    leases.grant(resident())
    assert (leases.in_flight("m"), leases.waiting("m"), leases.wanted()) == (0, 0, [])
    assert leases.drained("m", 0)


# -- places and queues


def waiter(leases: Leases, client: str = "", pid: int = 1, **how: Any) -> Ticket:
    """A request for the resident `m`, with one place, that has to wait."""
    found = leases.take(resident("m", pid), "m", how.pop("terms", Terms()), Caller(client, **how))
    assert isinstance(found, Ticket)
    return found


def test_a_model_has_as_many_places_as_its_slot_gives_it(leases: Leases) -> None:
    held = [leases.take(resident(), "m", Terms(places=3)) for _ in range(3)]
    assert all(isinstance(one, Lease) for one in held)
    assert isinstance(leases.take(resident(), "m", Terms(places=3)), Ticket)
    assert (leases.in_flight("m"), leases.waiting("m"), leases.stranded()) == (3, 1, [])


def test_a_place_that_is_given_back_goes_to_the_next_who_waits(leases: Leases) -> None:
    first = lease_of_one(leases)
    second, third = waiter(leases), waiter(leases)
    first.release()
    first.release()
    assert second.done.is_set()
    assert not third.done.is_set()
    assert (leases.in_flight("m"), leases.waiting("m")) == (1, 1)
    assert second.lease is not None
    second.lease.release()
    assert third.done.is_set()


def lease_of_one(leases: Leases, pid: int = 1) -> Lease:
    found = leases.take(resident("m", pid), "m")
    assert isinstance(found, Lease)
    return found


def test_nobody_overtakes_who_waits(leases: Leases) -> None:
    first = lease_of_one(leases)
    ahead = waiter(leases)
    first.lose()
    late = leases.take(resident(), "m")
    assert isinstance(late, Ticket)
    assert ahead.done.is_set()


def test_a_full_queue_refuses_with_the_time_that_a_place_takes(leases: Leases, clock: HandClock) -> None:
    first = lease_of_one(leases)
    clock.pass_s(4)
    first.release()
    held = lease_of_one(leases)
    terms = Terms(queue=2)
    waiter(leases, terms=terms)
    waiter(leases, terms=terms)
    with pytest.raises(errors.Hal0Error) as problem:
        waiter(leases, terms=terms)
    assert (problem.value.code, problem.value.status, problem.value.retry_after) == ("slot.busy", 429, 12)
    assert waiter(leases, lost="one", terms=terms)
    held.release()


def test_a_queue_of_none_lets_as_many_wait_for_a_load_as_there_are_places(leases: Leases) -> None:
    terms = Terms(places=2, queue=0)
    leases.take(None, "m", terms)
    leases.take(None, "m", terms)
    with pytest.raises(errors.Hal0Error, match="queue"):
        leases.take(None, "m", terms)


def test_who_gives_up_makes_room_in_the_queue_at_once(leases: Leases) -> None:
    held, terms = lease_of_one(leases), Terms(queue=1)
    one = waiter(leases, terms=terms)
    leases.withdraw(one)
    waiter(leases, terms=terms)
    held.release()
    assert leases.in_flight("m") == 1


def test_who_gave_up_is_passed_over(leases: Leases) -> None:
    held = lease_of_one(leases)
    gone, next_ = waiter(leases), waiter(leases)
    gone.fail(errors.error("client.gone", "gone"))
    held.release()
    assert next_.done.is_set()
    assert next_.lease is not None
    assert gone.lease is None
    leases.withdraw(gone)
    assert leases.in_flight("m") == 1


def test_the_places_of_a_dead_loading_are_not_those_of_the_new_one(leases: Leases) -> None:
    old = lease_of_one(leases, pid=1)
    leases.bury(old.resident)
    assert isinstance(leases.take(resident("m", 2), "m"), Lease)
    waiting = waiter(leases, pid=2)
    old.release()
    assert not waiting.done.is_set()
    assert leases.in_flight("m") == 1


def test_a_place_on_what_is_gone_is_given_to_nobody_until_it_is_seen_again(leases: Leases) -> None:
    held = lease_of_one(leases)
    waiting = waiter(leases)
    held.lose()
    assert not waiting.done.is_set()
    assert leases.stranded() == ["m"]
    leases.offer(resident())
    assert waiting.done.is_set()


def test_a_model_that_is_not_seen_gives_its_places_to_nobody(leases: Leases) -> None:
    lease_of_one(leases).release()
    waiting = leases.take(None, "m")
    assert isinstance(waiting, Ticket)
    assert not waiting.done.is_set()
    assert leases.stranded() == ["m"]


def test_a_closed_model_keeps_its_places_from_who_waits(leases: Leases) -> None:
    held = lease_of_one(leases)
    waiting = waiter(leases)
    leases.close("m")
    held.release()
    assert not waiting.done.is_set()
    assert (leases.stranded(), leases.wanted()) == ([], ["m"])
    leases.open("m")
    assert waiting.done.is_set()


def test_a_replay_is_served_next(leases: Leases) -> None:
    held = lease_of_one(leases)
    first, again = waiter(leases, "ann"), waiter(leases, "bob", lost="one")
    assert (leases.position(again), leases.position(first)) == (1, 2)
    held.release()
    assert again.done.is_set()
    assert leases.position(again) == 0


def test_a_place_is_kept_for_a_request_that_will_be_sent_again(leases: Leases) -> None:
    held = lease_of_one(leases)
    waiting = waiter(leases)
    leases.bury(held.resident)
    held.lose(returns=True)
    leases.grant(resident("m", 2))
    assert not waiting.done.is_set()
    again = leases.take(resident("m", 2), "m", caller=Caller(lost=held))
    assert isinstance(again, Lease)
    again.release()
    assert waiting.done.is_set()


def test_a_kept_place_is_for_the_request_it_is_kept_for_and_no_other_replay(leases: Leases) -> None:
    held = lease_of_one(leases)
    leases.bury(held.resident)
    held.lose(returns=True)
    leases.grant(resident("m", 2))
    stranger = leases.take(resident("m", 2), "m", caller=Caller("eve", lost="another"))
    assert isinstance(stranger, Ticket)
    own = leases.take(resident("m", 2), "m", caller=Caller("ann", lost=held))
    assert isinstance(own, Lease)
    assert (leases.in_flight("m"), stranger.done.is_set()) == (1, False)
    own.release()
    assert stranger.done.is_set()


def test_a_place_that_was_kept_in_vain_goes_to_the_next(leases: Leases) -> None:
    held = lease_of_one(leases)
    waiting = waiter(leases)
    held.lose(returns=True)
    leases.offer(resident())
    assert not waiting.done.is_set()
    leases.unreserve(held)
    leases.unreserve(held)
    assert waiting.done.is_set()


def test_the_places_of_a_loading_stay_until_it_is_loaded_anew(leases: Leases) -> None:
    lease_of_one(leases)
    assert isinstance(leases.take(resident("m", 1), "m", Terms(places=9)), Ticket)
    leases.left("m")
    leases.grant(resident("m", 2), Terms(places=9))
    assert isinstance(leases.take(resident("m", 2), "m", Terms(places=9)), Lease)


def test_waits_for_a_load_and_for_a_place_are_told_apart(leases: Leases, clock: HandClock) -> None:
    first, second = ticket(leases), ticket(leases)
    clock.pass_s(7)
    leases.grant(resident())
    assert first.lease is not None
    assert (first.lease.load_s, first.lease.queue_s) == (7, 0)
    clock.pass_s(2)
    first.lease.release()
    assert second.lease is not None
    assert (second.lease.load_s, second.lease.queue_s) == (7, 2)


def test_a_wait_that_saw_its_model_leave_counts_both(leases: Leases, clock: HandClock) -> None:
    held = lease_of_one(leases)
    waiting = waiter(leases)
    clock.pass_s(3)
    leases.close("m")
    held.release()
    leases.left("m")
    clock.pass_s(5)
    leases.grant(resident("m", 2))
    assert waiting.lease is not None
    assert (waiting.lease.queue_s, waiting.lease.load_s) == (3, 5)


# -- who gives way to whom


def test_a_model_nobody_waits_for_leaves_at_once(leases: Leases) -> None:
    lease_of_one(leases)
    ticket(leases, "n")
    assert not leases.holds_off("m", "n", 30)


def test_a_model_with_a_queue_stays_until_its_rival_is_overdue(leases: Leases, clock: HandClock) -> None:
    lease_of_one(leases)
    waiter(leases)
    ticket(leases, "n")
    assert leases.holds_off("m", "n", 30)
    clock.pass_s(30)
    assert not leases.holds_off("m", "n", 30)


def test_who_waited_for_a_load_is_served_before_the_model_leaves_again(leases: Leases, clock: HandClock) -> None:
    them = [ticket(leases) for _ in range(3)]
    leases.grant(resident())
    ticket(leases, "n")
    clock.pass_s(59)
    waiter(leases)
    for one in them[:-1]:
        assert leases.holds_off("m", "n", 30)
        assert one.lease is not None
        one.lease.release()
    assert them[-1].done.is_set()
    assert not leases.holds_off("m", "n", 30)


def test_who_waited_for_a_load_keeps_the_rival_waiting_for_one_turn_and_no_longer(
    leases: Leases, clock: HandClock
) -> None:
    ticket(leases, "n")
    clock.pass_s(50)
    for _ in range(3):
        ticket(leases)
    leases.grant(resident())
    clock.pass_s(59)
    assert leases.holds_off("m", "n", 30)
    clock.pass_s(1)
    assert not leases.holds_off("m", "n", 30)


def test_a_model_in_use_is_the_last_to_leave_and_the_most_wanted_after_all(leases: Leases, clock: HandClock) -> None:
    held = lease(leases, "busy")
    clock.pass_s(1)
    lease_of_one(leases)
    waiter(leases)
    clock.pass_s(1)
    lease(leases, "idle").release()
    assert leases.recency("never") < leases.recency("idle") < leases.recency("busy") < leases.recency("m")
    held.release()


# -- whatever happens


class LineMachine(RuleBasedStateMachine):
    """Requests, loads, crashes and unloads in any order: no place is lost or doubled, nobody overtakes himself."""

    PLACES, QUEUE = 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.leases = Leases(self.clock)
        self.pid = 1
        self.loaded = False
        self.running: list[Lease] = []
        self.waiting: list[Ticket] = []
        self.terms = Terms(self.PLACES, self.QUEUE)

    def _granted(self) -> None:
        for one in [one for one in self.waiting if one.done.is_set()]:
            earlier = [other for other in self.waiting if other.caller == one.caller and not other.done.is_set()]
            assert self.waiting.index(one) < min(map(self.waiting.index, earlier), default=99)
            assert one.lease is not None
            self.running.append(one.lease)
            self.waiting.remove(one)

    @rule(client=st.sampled_from("ab"), priority=st.sampled_from(Priority), replays=st.booleans())
    def ask(self, client: str, priority: Priority, replays: bool) -> None:
        seen = resident("m", self.pid) if self.loaded else None
        before = self.leases.waiting("m")
        try:
            found = self.leases.take(seen, "m", self.terms, Caller(client, priority, lost="one" if replays else None))
        except errors.Hal0Error:
            assert before >= self.QUEUE
            assert not replays
            return
        (self.running if isinstance(found, Lease) else self.waiting).append(found)  # type: ignore[arg-type]
        self._granted()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), lost=st.booleans())
    def end(self, data: st.DataObject, lost: bool) -> None:
        one = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.clock.pass_s(1)
        one.lose() if lost else one.release()
        self._granted()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.leases.withdraw(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))
        self._granted()

    @rule()
    def load(self) -> None:
        if not self.loaded:
            self.pid += 1
        self.loaded = True
        self.leases.grant(resident("m", self.pid), self.terms)
        self._granted()

    @precondition(lambda self: self.loaded)
    @rule()
    def crash(self) -> None:
        self.leases.bury(resident("m", self.pid))
        self.loaded = False

    @precondition(lambda self: self.loaded)
    @rule()
    def unload(self) -> None:
        self.leases.close("m")
        self.leases.left("m")
        self.loaded = False

    @precondition(lambda self: self.loaded)
    @rule()
    def think_better_of_an_unload(self) -> None:
        self.leases.close("m")
        self.leases.open("m")
        self._granted()

    @invariant()
    def the_counts_are_true(self) -> None:
        assert self.leases.in_flight("m") == len(self.running)
        assert self.leases.waiting("m") == len(self.waiting)
        here = [one for one in self.running if one.resident.pid == self.pid]
        assert len(here) <= self.PLACES

    @invariant()
    def nobody_waits_for_a_place_that_is_free(self) -> None:
        if self.waiting and self.loaded:
            here = [one for one in self.running if one.resident.pid == self.pid]
            assert len(here) == self.PLACES or here or self.leases.stranded() == ["m"]
        elif self.waiting:
            assert self.leases.stranded() == ["m"]


TestLine = LineMachine.TestCase
