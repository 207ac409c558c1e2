"""services/leases: who uses which model, who waits, and who may not."""

from __future__ import annotations

import threading

import pytest

from hal0app import errors
from hal0app.services.leases import Lease, Leases, Ticket
from tests.unit.fakes import Asking, HandClock, StrictClock, resident


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def leases(clock: HandClock) -> Leases:
    return Leases(clock)


def lease(leases: Leases, model: str = "m", pid: int = 1) -> Lease:
    found = leases.take(resident(model, pid), model)
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
    assert leases.grant(resident("m", 7)) == 20
    assert (leases.in_flight("m"), leases.waiting("m"), leases.wanted()) == (20, 0, ["n"])
    assert all(one.done.is_set() and one.lease and one.lease.resident.pid == 7 for one in them)
    assert not other.done.is_set()
    assert leases.grant(resident("m", 7)) == 0


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
    assert (leases.wanted(), leases.grant(resident()), leases.in_flight("m")) == ([], 0, 0)


def test_withdrawing_after_the_grant_gives_the_lease_back(leases: Leases) -> None:
    one = ticket(leases)
    leases.grant(resident())
    assert leases.in_flight("m") == 1
    leases.withdraw(one)
    leases.withdraw(one)
    assert leases.in_flight("m") == 0


def test_a_closed_model_gives_tickets_until_it_is_opened(leases: Leases) -> None:
    leases.close("m")
    assert isinstance(leases.take(resident(), "m"), Ticket)
    assert not leases.usable(resident())
    assert leases.usable(resident("n"))
    leases.open("m")
    assert isinstance(leases.take(resident(), "m"), Lease)


@pytest.mark.parametrize(
    "opening", [lambda them: them.grant(resident()), lambda them: them.refuse("m", errors.error("slot.busy", "x"))]
)
def test_a_grant_or_a_refusal_opens_a_closed_model(leases: Leases, opening: object) -> None:
    leases.close("m")
    opening(leases)  # type: ignore[operator]
    assert isinstance(leases.take(resident(), "m"), Lease)


def test_a_buried_loading_gives_tickets_and_the_next_loading_leases(leases: Leases) -> None:
    leases.bury(resident("m", 1))
    assert isinstance(leases.take(resident("m", 1), "m"), Ticket)
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
