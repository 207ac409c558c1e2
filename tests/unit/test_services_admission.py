"""services/control and services/waiting: how requests wait, what they are told, and which model gives way to which."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from hal0app.core.endpoints import BY_NAME
from hal0app.core.fair_queue import ANYONE, Caller, Priority
from hal0app.core.headers import value
from hal0app.core.json_body import read
from hal0app.core.upstream import Silent, Unreached
from hal0app.errors import Hal0Error
from hal0app.services.ask import Ask
from hal0app.services.control import Want
from hal0app.services.lease import Lease
from hal0app.services.leases import Leases
from hal0app.services.line import Ticket
from hal0app.services.waiting import Waiting
from tests.support.waiting import eventually
from tests.unit.fakes import Asking, FakeCall, FakeClient, FakeReply, HandClock, House, operation, slot

STREAMING = Caller(streams=True)


@pytest.fixture
def house() -> Iterator[House]:
    """One place for chat models: m and n, each with one request at a time; clients are told every 20 ms."""
    made = House(slot("primary", "m", wait_s=60, queue=3), slot("second", "n", wait_s=60), heartbeat_s=0.02)
    made.lemond.capacity = {"llm": 1}
    with made.running():
        yield made


def want(house: House, model: str = "m") -> Want:
    return Want(model, next((one for one in house.observer.snapshot.configs if one.model == model), None))


def lease(
    house: House, model: str = "m", wait_s: float = 60, caller: Caller | None = None, client: Any = None
) -> Lease:
    found = house.control.lease(want(house, model), wait_s, client or FakeClient(), caller or Caller())
    assert isinstance(found, Lease)
    return found


def ask(house: House, model: str = "m", **how: Any) -> Asking:
    """A request on a thread of its own, which waits by now."""
    before = house.leases.waiting(model)
    asking = Asking(lambda: lease(house, model, **how))
    eventually(lambda: not asking.is_alive() or house.leases.waiting(model) > before, "it waits")
    return asking


# -- the queue


def test_one_request_after_the_other_is_given_the_one_place(house: House) -> None:
    first = lease(house)
    second, third = ask(house), ask(house)
    assert house.leases.in_flight("m") == 1
    first.release()
    second.result().release()
    third.result().release()
    assert house.lemond.calls == [("load", "m")]


def test_a_request_beyond_the_queue_is_refused_with_a_time_to_come_back(house: House) -> None:
    held = lease(house)
    them = [ask(house) for _ in range(3)]
    with pytest.raises(Hal0Error) as problem:
        lease(house)
    assert (problem.value.code, problem.value.status) == ("slot.busy", 429)
    assert (problem.value.retry_after or 0) >= 1
    held.release()
    for one in them:
        one.result().release()


def test_a_request_that_found_no_place_in_time_says_so_and_when_one_is_expected(house: House) -> None:
    held = lease(house)
    with pytest.raises(Hal0Error, match="no place free") as problem:
        lease(house, wait_s=0.05)
    assert (problem.value.code, problem.value.status, problem.value.retry_after) == ("slot.loading", 503, 10)
    assert house.leases.waiting("m") == 0
    held.release()


def test_a_request_that_waited_too_long_for_a_load_is_told_how_long_the_last_one_took(house: House) -> None:
    house.lemond.gate.clear()
    slow = ask(house)
    assert house.lemond.loading.wait(20)
    since = house.clock().tick
    eventually(lambda: house.clock().tick - since > 1.6, "the load takes a while")
    house.lemond.gate.set()
    slow.result().release()
    house.control.unload(want(house), "ann").wait(20)
    house.look()
    house.lemond.gate.clear()
    with pytest.raises(Hal0Error, match="its load is queued or under way") as problem:
        lease(house, wait_s=0.05)
    assert problem.value.code == "slot.loading"
    assert (problem.value.retry_after or 0) >= 2


def test_a_load_under_way_is_taken_to_last_as_much_longer_as_the_last_one_would() -> None:
    clock = HandClock(100.0)
    leases = Leases(clock)
    operations = (
        operation("load", "m", started=70.0, finished=None),
        operation("load", "m", result={"load_ms": 40_000}),
    )
    observer: Any = SimpleNamespace(snapshot=SimpleNamespace(operations=operations))
    ticket = leases.take(None, "m")
    assert isinstance(ticket, Ticket)
    with pytest.raises(Hal0Error) as problem:
        Waiting(leases, observer, clock, 5.0).wait(ticket, "m", 0.0, FakeClient())
    assert problem.value.retry_after == 10


def test_a_wait_in_vain_is_told_with_its_length(house: House) -> None:
    told: list[tuple[float, ...]] = []
    held = lease(house)
    with pytest.raises(Hal0Error, match="no place free"):
        house.control.lease(want(house), 0.05, FakeClient(), ANYONE, lambda *waited: told.append(waited))
    held.release()
    ((queue_s, load_s),) = told
    assert (queue_s >= 0.05, load_s) == (True, 0.0)


def test_a_client_that_leaves_the_queue_frees_its_place_at_once(house: House) -> None:
    held, client = lease(house), FakeClient()
    leaving, staying = ask(house, client=client), ask(house)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        leaving.result()
    assert (problem.value.code, house.leases.waiting("m")) == ("client.gone", 1)
    held.release()
    staying.result().release()


def test_an_interactive_request_goes_before_a_batch_one(house: House) -> None:
    held = lease(house)
    batch = ask(house, caller=Caller("ann", Priority.BATCH))
    now = ask(house, caller=Caller("ann"))
    held.release()
    first = now.result()
    assert batch.is_alive()
    first.release()
    batch.result().release()


def test_a_client_that_asks_much_does_not_keep_another_waiting(house: House) -> None:
    held = lease(house)
    many = [ask(house, caller=Caller("ann")) for _ in range(2)]
    other = ask(house, caller=Caller("bob"))
    held.release()
    many[0].result().release()
    second = other.result()
    assert many[1].is_alive()
    second.release()
    many[1].result().release()


def test_a_model_without_a_slot_has_one_place(house: House) -> None:
    first = lease(house, "o")
    waiting = ask(house, "o")
    first.release()
    waiting.result().release()


def test_who_waits_is_served_by_a_model_that_somebody_else_loaded(house: House) -> None:
    held = lease(house)
    waiting = ask(house)
    house.lemond.drop("m")
    house.look()
    house.lemond.put("m")
    held.lose()
    waiting.result().release()


def test_who_waits_for_a_model_that_vanished_gets_a_load(house: House) -> None:
    held = lease(house)
    waiting = ask(house)
    house.lemond.drop("m")
    held.lose()
    waiting.result().release()
    assert house.lemond.calls == [("load", "m"), ("load", "m")]


# -- what a stream is told


def test_a_stream_that_waits_for_a_load_is_told_for_how_long(house: House) -> None:
    house.lemond.gate.clear()
    client = FakeClient()
    asking = ask(house, caller=STREAMING, client=client)
    eventually(lambda: len(client.told) > 2, "it is told again and again")
    house.lemond.gate.set()
    asking.result().release()
    assert all(re.fullmatch(r"hal0 loading primary \d+s", one) for one in client.told)
    assert client.begun


def test_a_stream_that_waits_for_a_place_is_told_which_it_has_in_the_queue(house: House) -> None:
    held, client = lease(house), FakeClient()
    first = ask(house)
    second = ask(house, caller=STREAMING, client=client)
    eventually(lambda: "hal0 queued 2" in client.told)
    held.release()
    held = first.result()
    eventually(lambda: "hal0 queued 1" in client.told)
    held.release()
    second.result().release()


def test_a_request_that_does_not_stream_waits_in_silence(house: House) -> None:
    held, silent, told = lease(house), FakeClient(), FakeClient()
    first = ask(house, client=silent)
    second = ask(house, caller=STREAMING, client=told)
    eventually(lambda: len(told.told) > 2)
    assert (silent.told, silent.begun) == ([], False)
    held.release()
    first.result().release()
    second.result().release()


def test_the_time_since_a_stream_was_last_told_something_counts_for_the_next_time() -> None:
    house = House(slot("primary", "m"), heartbeat_s=3600)
    house.lemond.put("m")
    with house.running():
        held, client = lease(house), FakeClient(silent_s=3600)
        waiting = ask(house, caller=STREAMING, client=client)
        eventually(lambda: client.told == ["hal0 queued 1"], within=20)
        held.release()
        waiting.result().release()


def test_a_stream_that_does_not_wait_is_told_nothing(house: House) -> None:
    lease(house).release()
    client = FakeClient()
    lease(house, caller=STREAMING, client=client).release()
    assert (client.told, client.begun) == ([], False)


def test_a_stream_that_cannot_be_told_any_more_is_gone(house: House) -> None:
    class Deaf(FakeClient):
        def heartbeat(self, text: str) -> None:
            self.gone = True
            super().heartbeat(text)

    held = lease(house)
    with pytest.raises(Hal0Error) as problem:
        lease(house, caller=STREAMING, client=Deaf())
    assert (problem.value.code, house.leases.waiting("m")) == ("client.gone", 0)
    held.release()


# -- who gives way


@contextmanager
def giving_way(house: House) -> Iterator[None]:
    """Ends when a load has been told to hold off."""
    told, holds_off = threading.Event(), house.leases.holds_off

    def tell(*asked: Any) -> bool:
        if not (answer := holds_off(*asked)):
            return False
        told.set()
        return answer

    house.leases.holds_off = tell  # type: ignore[method-assign]
    yield
    assert told.wait(20), "it did not give way"


def test_a_model_serves_its_queue_before_it_leaves_for_another(house: House) -> None:
    held = lease(house)
    queued = ask(house)
    with giving_way(house):
        rival = ask(house, "n")
    held.release()
    held = queued.result()
    assert house.leases.waiting("n") == 1
    held.release()
    rival.result().release()
    assert house.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "n")]


def test_a_model_with_a_queue_leaves_for_a_rival_that_is_overdue(house: House) -> None:
    house.folder.put(slot("second", "n", wait_s=2))
    house.look()
    held = lease(house)
    queued = ask(house)
    rival = ask(house, "n", wait_s=60)
    eventually(lambda: house.state() == "unloading", "the rival has waited half a second")
    held.release()
    rival.result().release()
    queued.result().release()
    assert house.lemond.calls == [("load", "m"), ("unload", "m"), ("load", "n"), ("unload", "n"), ("load", "m")]


def test_a_person_waits_for_no_queue(house: House) -> None:
    held = lease(house)
    queued = ask(house)
    job = house.control.load(want(house, "n"), "ann")
    eventually(lambda: house.state() == "unloading", "it is closed at once")
    held.release()
    assert job.wait(20)
    queued.result().release()
    assert house.lemond.calls[:3] == [("load", "m"), ("unload", "m"), ("load", "n")]


def test_a_person_does_not_wait_behind_a_load_that_gives_way(house: House) -> None:
    house.folder.put(slot("second", "n", wait_s=600))
    house.look()
    held = lease(house)
    queued = ask(house)
    with giving_way(house):
        rival = ask(house, "n")
    job = house.control.load(Want("o"), "ann")
    eventually(lambda: house.state() == "unloading", "it gives way no more")
    held.release()
    rival.result().release()
    assert job.wait(20)
    queued.result().release()


def test_a_load_that_gives_way_ends_when_its_client_leaves(house: House) -> None:
    held, client = lease(house), FakeClient()
    queued = ask(house)
    with giving_way(house):
        rival = ask(house, "n", client=client)
    client.leave()
    with pytest.raises(Hal0Error):
        rival.result()
    held.release()
    queued.result().release()
    assert house.lemond.calls == [("load", "m")]


def test_a_model_that_somebody_else_loads_while_its_load_gives_way_is_left_alone(house: House) -> None:
    held = lease(house)
    queued = ask(house)
    with giving_way(house):
        rival = ask(house, "n")
    house.lemond.capacity = {"llm": 2}
    house.lemond.put("n")
    serving = rival.result()
    held.release()
    queued.result().release()
    assert house.control.load(want(house, "n"), "ann").wait(20)
    serving.release()
    assert house.lemond.calls == [("load", "m")]


def test_a_model_that_nobody_uses_leaves_before_one_that_is_used(house: House) -> None:
    house.lemond.capacity = {"llm": 2}
    held = lease(house)
    lease(house, "n").release()
    lease(house, "o").release()
    assert ("unload", "n") in house.lemond.calls
    held.release()


# -- through dispatch


def serve(house: House, model: str = "primary", client: Any = None, **how: Any) -> Any:
    payload = {"model": model, "messages": ["hi"], **how.pop("payload", {})}
    sent = Ask("POST", "chat/completions", [], read(b"{}"), payload, **how)
    return house.dispatch.serve(BY_NAME["chat/completions"], sent, client or FakeClient())


def test_an_answer_tells_how_long_it_waited_for_what(house: House) -> None:
    answer = serve(house)
    assert value(answer.headers, "X-Hal0-Queue-Ms") == "0"
    assert int(value(answer.headers, "X-Hal0-Load-Ms")) > 0
    answer.close()
    answer = serve(house)
    assert (value(answer.headers, "X-Hal0-Queue-Ms"), value(answer.headers, "X-Hal0-Load-Ms")) == ("0", "0")
    answer.close()


@pytest.mark.parametrize(("payload", "told"), [({"stream": True}, True), ({"stream": "yes"}, False), ({}, False)])
def test_only_a_streaming_request_is_told_that_it_waits(house: House, payload: Any, told: bool) -> None:
    house.lemond.gate.clear()
    client, other = FakeClient(), FakeClient()
    asking = Asking(lambda: serve(house, client=client, payload=payload))
    reference = Asking(lambda: lease(house, caller=STREAMING, client=other))
    eventually(lambda: len(other.told) > 3)
    assert bool(client.told) is told
    house.lemond.gate.set()
    asking.result().close()
    reference.result().release()


def test_a_request_that_is_sent_again_goes_before_those_who_wait(house: House) -> None:
    lease(house).release()
    waiting: list[Asking] = []

    def die(_: FakeCall) -> Any:
        waiting.append(ask(house))
        house.lemond.drop("m")
        return Unreached("refused")

    house.upstream.script = [die, FakeReply()]
    answer = serve(house)
    assert waiting[0].is_alive()
    answer.close()
    waiting[0].result().release()
    assert house.lemond.calls == [("load", "m"), ("load", "m")]


def test_no_place_is_kept_for_a_request_that_is_refused_when_it_is_to_be_sent_again(house: House) -> None:
    lease(house).release()

    def die(_: FakeCall) -> Any:
        house.lemond.drop("m")
        house.folder.put(slot("primary", "m", enabled=False))
        return Unreached("refused")

    house.upstream.script = [die, FakeReply()]
    with suppress(Hal0Error):
        serve(house).close()
    house.folder.put(slot("primary", "m", wait_s=60))
    house.look()
    lease(house).release()


def test_a_request_that_is_lost_twice_leaves_no_place_kept(house: House) -> None:
    house.upstream.script = [Unreached("refused")]
    with pytest.raises(Hal0Error, match="vanished twice"):
        serve(house)
    lease(house).release()


def test_a_backend_that_is_silent_for_too_long_is_not_asked_again(house: House) -> None:
    house.upstream.script = [Silent("late")]
    with pytest.raises(Hal0Error) as problem:
        serve(house)
    assert (problem.value.code, len(house.upstream.sent)) == ("upstream.timeout", 1)


def test_the_slots_tell_who_is_served_and_who_waits(house: House) -> None:
    answer = serve(house)
    waiting = ask(house)
    told = house.slots.one("primary").as_json()
    assert (told["in_flight"], told["queued"]) == (1, 1)
    answer.close()
    waiting.result().release()
    told = house.slots.one("primary").as_json()
    assert (told["in_flight"], told["queued"]) == (0, 0)
