"""core/fair_queue: who is served next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.fair_queue import Caller, FairQueue, Priority

ANN, BOB, EVE = Caller("ann"), Caller("bob"), Caller("eve")
SLOW_ANN, SLOW_BOB = Caller("ann", Priority.BATCH), Caller("bob", Priority.BATCH)
AGAIN = Caller("eve", lost="a place")


def queue(*put: tuple[str, Caller]) -> FairQueue[str]:
    made: FairQueue[str] = FairQueue()
    for item, caller in put:
        made.put(item, caller)
    return made


def drained(made: FairQueue[str]) -> list[str]:
    return [made.take() for _ in range(len(made))]


def test_one_client_is_served_in_the_order_it_came() -> None:
    assert drained(queue(("1", ANN), ("2", ANN), ("3", ANN))) == ["1", "2", "3"]


def test_clients_take_turns_however_much_one_asks() -> None:
    many = [(f"a{number}", ANN) for number in range(4)]
    assert drained(queue(*many, ("b0", BOB), ("b1", BOB), ("e0", EVE))) == ["a0", "b0", "e0", "a1", "b1", "a2", "a3"]


def test_a_client_that_comes_later_waits_for_one_turn_of_each_other() -> None:
    made = queue(("a0", ANN), ("a1", ANN), ("a2", ANN))
    assert made.take() == "a0"
    made.put("b0", BOB)
    assert drained(made) == ["a1", "b0", "a2"]


def test_interactive_comes_before_batch() -> None:
    made = queue(("later", SLOW_ANN), ("later too", SLOW_BOB), ("now", ANN))
    assert drained(made) == ["now", "later", "later too"]


def test_a_replay_comes_first() -> None:
    assert drained(queue(("a", ANN), ("again", AGAIN), ("b", BOB), ("again too", AGAIN)))[:2] == ["again", "again too"]


@pytest.mark.parametrize("caller", [ANN, SLOW_ANN, AGAIN], ids=["interactive", "batch", "replay"])
def test_what_is_given_up_is_gone(caller: Caller) -> None:
    made = queue(("x", caller), ("y", BOB))
    assert made.remove("x", caller)
    assert not made.remove("x", caller)
    assert (len(made), list(made), drained(made)) == (1, ["y"], ["y"])


def test_an_empty_queue_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        queue().take()


callers = st.builds(
    Caller, st.sampled_from("abc"), st.sampled_from(Priority), st.just(False), st.sampled_from([False, False, True])
)
steps = st.lists(st.one_of(callers, st.just("take"), st.integers(0, 30)), max_size=60)


@given(steps)
def test_nothing_is_lost_or_doubled_and_each_client_is_served_in_order(walk: list[Caller | str | int]) -> None:
    made: FairQueue[int] = FairQueue()
    waiting: dict[int, Caller] = {}
    for number, step in enumerate(walk):
        if isinstance(step, Caller):
            made.put(number, step)
            waiting[number] = step
        elif step == "take" and waiting:
            expected = list(made)
            taken = made.take()
            caller = waiting.pop(taken)
            assert taken == expected[0]
            assert not [one for one, whose in waiting.items() if whose == caller and one < taken]
            assert caller.replays or not any(one.replays for one in waiting.values())
            urgent = any(one.priority is Priority.INTERACTIVE for one in waiting.values())
            assert caller.replays or caller.priority is Priority.INTERACTIVE or not urgent
        elif isinstance(step, int) and step in waiting:
            assert made.remove(step, waiting.pop(step))
        assert len(made) == len(waiting)
        assert sorted(made) == sorted(waiting)
    assert sorted(made.take() for _ in range(len(made))) == sorted(waiting)


@given(st.lists(callers, max_size=30))
def test_the_order_that_is_told_is_the_order_that_is_kept(put: list[Caller]) -> None:
    made: FairQueue[int] = FairQueue()
    for number, caller in enumerate(put):
        made.put(number, caller)
    told = list(made)
    assert [made.take() for _ in put] == told


@given(st.lists(st.sampled_from([ANN, BOB, EVE]), min_size=1, max_size=40))
def test_between_two_turns_of_a_client_every_other_that_waits_has_one(put: list[Caller]) -> None:
    made: FairQueue[int] = FairQueue()
    for number, caller in enumerate(put):
        made.put(number, caller)
    left = {one.client: sum(caller is one for caller in put) for one in (ANN, BOB, EVE)}
    ahead = dict.fromkeys(left, 0)
    while len(made):
        client = put[made.take()].client
        for other in left:
            ahead[other] = 0 if other == client else ahead[other] + (left[other] > 0)
            assert ahead[other] <= 2
        left[client] -= 1
