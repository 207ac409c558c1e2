"""core/reconcile: from the past and one look at lemond to what every slot is now, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.clock import NEVER
from hal0app.core.operation import Cause, Evidence, Operation
from hal0app.core.reasons import Reason, message
from hal0app.core.reconcile import Recorded, Transition, reconcile
from hal0app.core.residency import Link, Observation
from hal0app.core.slot import TRANSITIONS, UP, Broken, Record, State, guard, options_key
from hal0app.core.slot_config import SlotConfig
from tests.unit.fakes import at, operation, resident, seen, slot

READY = Record("primary", State.READY, Reason.NONE, "", since=5.0, model="m", loads=1, version=3)
HELD = Recorded({"primary": READY}, seen(10, "m"))


def one_after(
    look: Observation,
    previous: Recorded = HELD,
    operations: Sequence[Operation] = (),
    evidence: Sequence[Evidence] = (),
    it: SlotConfig | Broken | None = None,
    now: float | None = None,
) -> Record:
    """The record of the one slot after a look."""
    it = it or slot()
    changes = reconcile([it], previous, look, operations, at(now or look.taken.tick + 0.1), evidence)
    return changes[0].after if changes else previous.records[it.name]


def recorded(**record: Any) -> Recorded:
    residency = record.pop("residency", seen(10, "m"))
    link = record.pop("link", Link.UP)
    defaults = {"state": State.READY, "reason": Reason.NONE, "message": "", "model": "m", "loads": 1, "version": 3}
    return Recorded({"primary": Record("primary", **{**defaults, **record})}, residency, link)


# -- downloads

PULL = operation("pull", "m", 15)
FAILED_PULL = operation("pull", "m", 15, finished=16.0, error_code="model.pull_failed", error_message="disk full")
OFFLINE = recorded(state=State.OFFLINE, reason=Reason.NEVER_LOADED)
NOT_HERE = operation("load", "m", 11, finished=12.0, error_code="model.not_downloaded", options=options_key(slot()))


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (one_after(seen(20), OFFLINE, [PULL]), State.PULLING, Reason.NONE),
        (one_after(seen(20), OFFLINE, [PULL, NOT_HERE]), State.PULLING, Reason.NONE),
        (one_after(seen(60), OFFLINE, [PULL]), State.OFFLINE, Reason.NEVER_LOADED),
        (one_after(seen(20, "m"), HELD, [PULL]), State.READY, Reason.NONE),
        (one_after(seen(20), HELD, [PULL]), State.OFFLINE, Reason.EVICTED),
        (one_after(seen(20), OFFLINE, [PULL, operation("load", "m", 19)]), State.STARTING, Reason.NONE),
        (one_after(seen(20), OFFLINE, [FAILED_PULL]), State.OFFLINE, Reason.NOT_DOWNLOADED),
        (one_after(seen(20), OFFLINE, [FAILED_PULL, NOT_HERE]), State.OFFLINE, Reason.NOT_DOWNLOADED),
        (
            one_after(seen(20), OFFLINE, [replace(FAILED_PULL, error_code="system.interrupted")]),
            State.OFFLINE,
            Reason.NEVER_LOADED,
        ),
        (one_after(seen(20, "m"), HELD, [FAILED_PULL]), State.READY, Reason.NONE),
        (
            one_after(seen(20), OFFLINE, [FAILED_PULL, operation("clear", "m", 17, finished=18.0)]),
            State.OFFLINE,
            Reason.NEVER_LOADED,
        ),
        (
            one_after(seen(20), OFFLINE, [FAILED_PULL, replace(NOT_HERE, error_code="model.load_failed")]),
            State.ERROR,
            Reason.LOAD_FAILED,
        ),
        (
            one_after(
                seen(20),
                recorded(state=State.ERROR, reason=Reason.REFUSED),
                [
                    operation("pull", "m", 15, finished=16.0, result={"status": "completed"}),
                    replace(NOT_HERE, error_code="model.corrupt"),
                ],
            ),
            State.OFFLINE,
            Reason.NEVER_LOADED,
        ),
        (
            one_after(
                seen(20),
                recorded(state=State.ERROR, reason=Reason.LOAD_FAILED),
                [
                    operation("pull", "m", 15, finished=16.0, result={"status": "cancelled"}),
                    replace(NOT_HERE, error_code="model.load_failed"),
                ],
            ),
            State.ERROR,
            Reason.LOAD_FAILED,
        ),
    ],
    ids=[
        *("under way", "and asked for", "abandoned", "loaded all the same", "evicted meanwhile", "loading meanwhile"),
        *(
            "failed",
            "failed, and asked for",
            "cut short by a reboot",
            "failed, but loaded",
            "failed and cleared",
            "failed after a failed load",
        ),
        *("the damaged file is replaced", "cancelled after a failed load"),
    ],
)
def test_a_download_shows_in_its_slot_and_covers_nothing_worse(told: Record, state: State, reason: Reason) -> None:
    assert (told.state, told.reason) == (state, reason)


# -- why a model left: evidence, and what is claimed without it


@pytest.mark.parametrize(
    ("told", "reason", "text"),
    [
        pytest.param(
            one_after(seen(20)), "evicted", "model evicted from lemond (auto-reloads on next request)", id="no-evidence"
        ),
        pytest.param(
            one_after(seen(20), operations=[operation("unload", finished=15.0, cause=Cause("displaced", "", "n"))]),
            "displaced",
            "evicted to make room for n (auto-reloads on next request)",
            id="our-own-victim",
        ),
        pytest.param(
            one_after(seen(20), operations=[operation("unload", finished=15.0, cause=Cause("swapped", "ann", "n"))]),
            "swapped",
            "unloaded by ann, who swapped it for n",
            id="a-swap",
        ),
        pytest.param(
            one_after(seen(20, "n")),
            "displaced",
            "evicted to make room for n (auto-reloads on next request)",
            id="another-of-its-pool-arrived",
        ),
        pytest.param(
            one_after(seen(20), evidence=[Evidence("m", "crashed", at(15))]),
            "crashed",
            "backend crashed (reloads on next request)",
            id="its-backend-broke-off",
        ),
        pytest.param(
            one_after(
                seen(20),
                operations=[
                    operation(
                        "load",
                        "n",
                        finished=15.0,
                        error_code="model.load_failed",
                        error_message="no memory",
                        result={"victims": ["m"]},
                    )
                ],
            ),
            "nuclear",
            "unloaded because loading n failed: no memory (auto-reloads on next request)",
            id="victim-of-a-failed-load",
        ),
        pytest.param(
            one_after(seen(20, boot="b"), recorded(residency=seen(10, "m", boot="a"))),
            "lemond_restarted",
            "lemond restarted (reloads on next request)",
            id="another-boot",
        ),
        pytest.param(
            one_after(seen(20), recorded(link=Link.DOWN)),
            "lemond_restarted",
            "lemond restarted (reloads on next request)",
            id="refused-then-empty",
        ),
        pytest.param(
            one_after(seen(20), operations=[operation("unload", finished=15.0, cause=Cause("operator", "ann"))]),
            "operator",
            "unloaded by ann",
            id="a-person",
        ),
        pytest.param(
            one_after(seen(20), operations=[operation("unload", finished=15.0, cause=Cause("operator"))]),
            "operator",
            "unloaded by hal0",
            id="nobody-named",
        ),
        pytest.param(
            one_after(
                seen(20), operations=[operation("unload", finished=15.0, cause=Cause("idle"), result={"idle_min": 30})]
            ),
            "idle",
            "unloaded after 30 min idle (reloads on next request)",
            id="idle",
        ),
    ],
)
def test_a_departure_has_the_reason_that_is_proven(told: Record, reason: str, text: str) -> None:
    assert (told.state, told.reason, told.message) == ("offline", reason, text)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(one_after(seen(20, resident("n", type="embedding"))), id="an-arrival-in-another-pool"),
        pytest.param(one_after(seen(20, resident("n", pool="unmetered"))), id="an-unmetered-arrival"),
        pytest.param(
            one_after(seen(20, "n"), recorded(residency=seen(10, "m", "n"))), id="the-other-one-was-there-before"
        ),
        pytest.param(one_after(seen(20), evidence=[Evidence("n", "crashed", at(15))]), id="another-model-crashed"),
        pytest.param(one_after(seen(20), evidence=[Evidence("m", "crashed", at(9))]), id="an-earlier-loading-crashed"),
        pytest.param(one_after(seen(20), evidence=[Evidence("m", "slow", at(15))]), id="proof-of-something-else"),
        pytest.param(
            one_after(seen(20), operations=[operation("unload", finished=9.0, cause=Cause("operator", "ann"))]),
            id="unloaded-before-it-was-last-seen",
        ),
        pytest.param(
            one_after(
                seen(20),
                operations=[
                    operation("unload", finished=15.0, error_code="lemonade.refused", cause=Cause("operator", "ann"))
                ],
            ),
            id="an-unload-that-failed",
        ),
        pytest.param(
            one_after(
                seen(20),
                operations=[operation("load", "n", finished=15.0, error_code="x", result={"victims": ["somebody"]})],
            ),
            id="a-failed-load-that-spared-it",
        ),
        pytest.param(
            one_after(
                seen(20),
                operations=[operation("load", "n", finished=9.0, error_code="x", result={"victims": ["m"]})],
            ),
            id="a-failed-load-of-before",
        ),
        pytest.param(one_after(seen(20), recorded(link=Link.BUSY)), id="busy-then-empty"),
        pytest.param(one_after(seen(20), recorded(link=Link.SILENT)), id="frozen-then-empty"),
        pytest.param(one_after(seen(20, boot="a"), recorded(residency=seen(10, "m"))), id="boot-known-only-now"),
        pytest.param(one_after(seen(20), recorded(residency=seen(10, "m", boot="a"))), id="boot-not-told-any-more"),
    ],
)
def test_without_evidence_the_reason_is_evicted(told: Record) -> None:
    assert (told.state, told.reason) == ("offline", "evicted")


def test_refused_then_something_else_resident_is_not_called_a_restart() -> None:
    previous = recorded(link=Link.DOWN)
    assert one_after(seen(20, resident("e", type="embedding")), previous).reason is Reason.EVICTED


def test_a_displaced_slot_says_by_whom() -> None:
    assert one_after(seen(20, "n")).displaced_by == "n"


def test_what_hal0_did_itself_is_a_better_reason_than_what_else_could_explain_it() -> None:
    done = operation("unload", finished=15.0, cause=Cause("operator", "ann"))
    told = one_after(seen(20, "n", boot="b"), recorded(residency=seen(10, "m", boot="a")), [done])
    assert told.reason is Reason.OPERATOR


@pytest.mark.parametrize("code", ["lemonade.unavailable", "system.internal"])
def test_a_reload_that_failed_for_no_fault_of_the_model_leaves_the_slot_evicted_once(code: str) -> None:
    starting = recorded(state=State.STARTING, residency=seen(10), loads=1, evictions=1)
    told = one_after(seen(21), starting, [failure(error_code=code)])
    assert (told.state, told.reason, told.evictions) == (State.OFFLINE, Reason.EVICTED, 1)


# -- silence


@pytest.mark.parametrize("link", [Link.BUSY, Link.SILENT, Link.DOWN])
@pytest.mark.parametrize("state", [State.READY, State.OFFLINE, State.ERROR, State.STARTING, State.UNLOADING])
def test_silence_keeps_every_state_and_dates_it(link: Link, state: State) -> None:
    before = recorded(state=state, reason=Reason.EVICTED if state is State.OFFLINE else Reason.NONE)
    told = one_after(seen(20, link=link), before, now=20)
    assert (told.state, told.stale_since) == (state, at(20).wall)


def test_stale_since_is_the_beginning_of_the_silence() -> None:
    first = reconcile([slot()], HELD, seen(20, link=Link.BUSY), [], at(20))
    assert reconcile([slot()], Recorded({"primary": first[0].after}), seen(30, link=Link.DOWN), [], at(30)) == []


def test_the_next_fresh_look_ends_the_staleness_without_moving_the_slot() -> None:
    stale = recorded(stale_since=1.0, since=4.0)
    (change,) = reconcile([slot()], stale, seen(30, "m"), [], at(30))
    assert (change.after.stale_since, change.after.since, change.moved) == (None, 4.0, False)


def test_a_load_of_our_own_shows_even_while_lemond_is_silent() -> None:
    running = operation("load", started=19.0)
    told = one_after(seen(20, link=Link.BUSY), recorded(state=State.OFFLINE, reason=Reason.EVICTED), [running])
    assert (told.state, told.message) == (State.STARTING, "loading m")


def test_the_victims_of_a_failed_load_are_told_of_it_also_after_a_silence() -> None:
    lost = operation("load", "n", finished=15.0, error_code="x", error_message="no memory", result={"victims": ["m"]})
    told = one_after(seen(30), recorded(link=Link.BUSY, stale_since=20.0), [lost])
    assert (told.reason, told.stale_since) == (Reason.NUCLEAR, None)


def test_a_slot_that_is_given_another_model_during_a_silence_is_not_ready() -> None:
    told = one_after(seen(20, link=Link.BUSY), it=slot(model="n"))
    assert (told.state, told.reason, told.model) == (State.OFFLINE, Reason.NEVER_LOADED, "n")


def test_a_slot_that_is_turned_on_during_a_silence_serves() -> None:
    off = recorded(state=State.OFFLINE, reason=Reason.DISABLED, message=message(Reason.DISABLED))
    assert guard("serve", one_after(seen(20, link=Link.BUSY), off)) is None


# -- adoption, definitions


def test_a_slot_that_is_given_another_model_has_not_lost_one() -> None:
    told = one_after(seen(20), it=slot(model="n"))
    assert (told.reason, told.model, told.evictions) == (Reason.NEVER_LOADED, "n", 0)


@pytest.mark.parametrize("state", [State.OFFLINE, State.ERROR, State.STARTING, State.UNLOADING])
def test_a_resident_model_makes_its_slot_ready_however_it_got_there(state: State) -> None:
    assert one_after(seen(20, "m"), recorded(state=state, reason=Reason.EVICTED)).state is State.READY


def test_two_slots_of_one_model_are_both_ready() -> None:
    changes = reconcile([slot("a"), slot("b")], Recorded(), seen(20, "m"), [], at(20))
    assert [one.after.state for one in changes] == [State.READY, State.READY]


@pytest.mark.parametrize(
    ("it", "reason", "state"),
    [
        (slot(enabled=False), Reason.DISABLED, State.OFFLINE),
        (slot(model=None), Reason.NO_MODEL, State.OFFLINE),
        (Broken("primary", "bad"), Reason.INVALID_CONFIG, State.ERROR),
    ],
    ids=["disabled", "empty", "broken"],
)
@pytest.mark.parametrize("link", list(Link))
def test_what_the_definition_says_holds_whatever_lemond_says(
    it: SlotConfig | Broken, reason: Reason, state: State, link: Link
) -> None:
    told = one_after(seen(20, "m", link=link), it=it)
    assert (told.reason, told.state, told.model) == (reason, state, it.model if isinstance(it, SlotConfig) else None)


def test_a_new_slot_gets_its_first_record() -> None:
    (change,) = reconcile([slot("new")], Recorded(), seen(20), [], at(20))
    assert (change.before.version, change.after.version, change.after.reason) == (0, 1, Reason.NEVER_LOADED)
    assert change.after.message == message(Reason.NEVER_LOADED)


# -- operations


def test_a_look_from_before_the_end_of_a_load_does_not_contradict_it() -> None:
    starting = recorded(state=State.STARTING, residency=seen(10))
    done = operation("load", started=12.0, finished=20.0)
    assert one_after(seen(19), starting, [done], now=21).state is State.STARTING
    assert one_after(seen(21, "m"), starting, [done]).state is State.READY


def test_a_look_from_before_the_end_of_an_unload_does_not_contradict_it() -> None:
    unloading = recorded(state=State.UNLOADING)
    done = operation("unload", started=12.0, finished=20.0, cause=Cause("operator", "ann"))
    assert one_after(seen(19, "m"), unloading, [done], now=21).state is State.UNLOADING
    assert one_after(seen(21), unloading, [done]).reason is Reason.OPERATOR


def test_the_end_of_another_models_operation_takes_nothing_from_a_look() -> None:
    assert one_after(seen(19), operations=[operation("load", "n", finished=20.0)], now=21).state is State.OFFLINE


@pytest.mark.parametrize(("beat", "state"), [(70.0, State.STARTING), (69.9, State.OFFLINE)], ids=["alive", "dead"])
def test_an_operation_whose_owner_died_is_abandoned_after_thirty_seconds(beat: float, state: State) -> None:
    starting = recorded(state=State.STARTING, residency=seen(10), loads=0)
    told = one_after(seen(99), starting, [operation("load", started=50.0, heartbeat=beat)], now=100)
    assert told.state is state


def test_a_first_load_that_was_abandoned_leaves_the_slot_as_never_loaded() -> None:
    starting = recorded(state=State.STARTING, residency=seen(10), loads=0)
    told = one_after(seen(99), starting, [operation("load", started=50.0)], now=100)
    assert (told.reason, told.evictions) == (Reason.NEVER_LOADED, 0)


def failure(**facts: Any) -> Operation:
    facts = {"options": options_key(slot()), "error_code": "model.load_failed", "error_message": "bad file", **facts}
    return operation("load", finished=20.0, **facts)


def test_a_failed_load_is_an_error_with_its_cause() -> None:
    told = one_after(seen(21), recorded(state=State.STARTING, residency=seen(10)), [failure()])
    assert (told.state, told.reason, told.message) == ("error", "load_failed", "loading m failed: bad file")
    assert told.evictions == 0


def test_a_failed_load_is_told_once_in_its_message() -> None:
    said = failure(error_message="'m' could not be loaded: llama-server failed to start")
    told = one_after(seen(21), recorded(state=State.STARTING, residency=seen(10)), [said])
    assert told.message == "loading m failed: llama-server failed to start"


def test_an_error_stays_while_nothing_changes() -> None:
    error = recorded(state=State.ERROR, reason=Reason.LOAD_FAILED, message="loading m failed: bad file")
    assert reconcile([slot()], error, seen(30), [failure()], at(30)) == []


@pytest.mark.parametrize(
    "it", [slot(ctx_size=1), slot(llamacpp_args="--x"), slot(max_in_flight=2), slot(device="cpu")], ids=repr
)
def test_other_load_options_clear_an_error(it: SlotConfig) -> None:
    error = recorded(state=State.ERROR, reason=Reason.LOAD_FAILED)
    assert one_after(seen(30), error, [failure()], it=it).reason is Reason.NEVER_LOADED


def test_other_options_of_serving_do_not_clear_an_error() -> None:
    error = recorded(state=State.ERROR, reason=Reason.LOAD_FAILED)
    assert one_after(seen(30), error, [failure()], it=slot(priority=1, wait_s=3.0)).state is State.ERROR


def test_an_unload_does_not_clear_an_error() -> None:
    error = recorded(state=State.ERROR, reason=Reason.LOAD_FAILED, residency=seen(10))
    unloaded = operation("unload", started=30, finished=31.0, cause=Cause("operator", "ann"))
    assert one_after(seen(40), error, [unloaded, failure()]).state is State.ERROR


def test_residency_clears_an_error() -> None:
    error = recorded(state=State.ERROR, reason=Reason.LOAD_FAILED)
    assert one_after(seen(30, "m"), error, [failure()]).state is State.READY


def test_what_somebody_else_loaded_after_a_failure_is_evicted_and_stays_so() -> None:
    adopted = recorded(state=State.READY, since=at(25.0).wall)
    gone = one_after(seen(30), adopted, [failure()])
    assert (gone.state, gone.reason) == (State.OFFLINE, Reason.EVICTED)
    later = recorded(state=State.OFFLINE, reason=Reason.EVICTED, since=at(30.0).wall, residency=seen(30))
    assert one_after(seen(40), later, [failure()]).reason is Reason.EVICTED


@pytest.mark.parametrize("reason", [Reason.DISABLED, Reason.NEVER_LOADED, Reason.NOT_DOWNLOADED])
def test_a_failure_still_speaks_against_a_slot_whose_model_was_never_seen_since(reason: Reason) -> None:
    idle = recorded(state=State.OFFLINE, reason=reason, since=at(25.0).wall, residency=seen(10))
    assert one_after(seen(30), idle, [failure()]).state is State.ERROR


def test_a_reload_that_fails_is_an_error_though_the_model_was_up_before() -> None:
    up = recorded(state=State.READY, since=at(15.0).wall)
    assert one_after(seen(30), up, [failure()]).state is State.ERROR


def test_a_later_good_load_outdates_a_failure() -> None:
    good = operation("load", started=25.0, finished=26.0, options=options_key(slot()))
    told = one_after(seen(30), recorded(residency=seen(27, "m")), [good, failure()])
    assert told.reason is Reason.EVICTED


def test_a_failed_load_for_the_fallback_is_not_held_against_a_slot() -> None:
    told = one_after(seen(30), recorded(state=State.STARTING, loads=0, residency=seen(10)), [failure(options="")])
    assert told.state is State.OFFLINE


def test_a_load_and_an_eviction_are_counted_once_each() -> None:
    previous, total = Recorded({}, seen(1)), []
    for look in (seen(10), seen(20, "m"), seen(30, "m"), seen(40), seen(50), seen(60, "m")):
        for change in reconcile([slot()], previous, look, [], at(look.taken.tick)):
            previous = Recorded({"primary": change.after}, look)
            total.append((change.after.loads, change.after.evictions))
    assert total == [(0, 0), (1, 0), (1, 1), (2, 1)]


def test_an_unload_that_failed_leaves_the_slot_ready_and_counts_no_load() -> None:
    busy = operation("unload", finished=15.0, error_code="slot.loading")
    told = one_after(seen(20, "m"), recorded(state=State.UNLOADING), [busy])
    assert (told.state, told.loads) == (State.READY, 1)


# -- laws

MODELS = ("m", "n", "o")
ticks = st.floats(0, 200)
slots = st.lists(
    st.one_of(
        st.builds(
            slot,
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([*MODELS, None]),
            enabled=st.booleans(),
            ctx_size=st.sampled_from([1, 2]),
        ),
        st.builds(Broken, st.sampled_from(["a", "b", "c"]), st.just("bad")),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)
observations = st.builds(
    lambda tick, models, link, boot: seen(tick, *(models if link is Link.UP else ()), link=link, boot=boot),
    ticks,
    st.sets(st.sampled_from(MODELS)),
    st.sampled_from(Link),
    st.sampled_from([None, "x", "y"]),
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Record]:
    states = st.sampled_from([State.OFFLINE, State.STARTING, State.READY, State.UNLOADING, State.ERROR])
    made = {}
    for name in draw(st.sets(st.sampled_from(["a", "b", "c"]))):
        made[name] = Record(
            name,
            draw(states),
            draw(st.sampled_from(Reason)),
            "said before",
            stale_since=draw(st.sampled_from([None, 3.0])),
            model=draw(st.sampled_from([*MODELS, None])),
            loads=draw(st.integers(0, 2)),
            version=draw(st.integers(1, 5)),
        )
    return made


@st.composite
def done_and_running(draw: st.DrawFn) -> list[Operation]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        started = draw(ticks)
        facts: dict[str, Any] = {"cause": Cause(draw(st.sampled_from(["request", "displaced", "idle", "operator"])))}
        if draw(st.booleans()):
            facts["finished"] = started + draw(ticks)
            if draw(st.booleans()):
                facts["error_code"] = draw(st.sampled_from(["model.load_failed", "slot.loading"]))
                facts["result"] = {"victims": draw(st.lists(st.sampled_from(MODELS)))}
                facts["options"] = options_key(slot(ctx_size=1))
        kind, model = draw(st.sampled_from(["load", "unload"])), draw(st.sampled_from(MODELS))
        made.append(operation(kind, model, started, id=str(number), **facts))
    return made


evidence = st.lists(st.builds(Evidence, st.sampled_from(MODELS), st.just("crashed"), ticks.map(at)), max_size=2)


def applied(previous: Recorded, changes: list[Transition], look: Observation) -> Recorded:
    told = {**previous.records, **{one.slot: one.after for one in changes}}
    return Recorded(told, look if look.fresh else previous.residency, look.link)


@given(slots, records(), observations, observations, done_and_running(), evidence)
def test_reconciling_twice_changes_nothing_more(
    them: list[Any], before: dict[str, Record], last: Observation, look: Observation, acts: list[Operation], proof: Any
) -> None:
    previous, now = Recorded(before, last, last.link), at(look.taken.tick + 1)
    first = reconcile(them, previous, look, acts, now, proof)
    assert reconcile(them, applied(previous, first, look), look, acts, now, proof) == []


@given(slots, records(), observations, observations, done_and_running(), evidence)
def test_every_transition_is_in_the_table_and_says_why(
    them: list[Any], before: dict[str, Record], last: Observation, look: Observation, acts: list[Operation], proof: Any
) -> None:
    for change in reconcile(them, Recorded(before, last), look, acts, at(look.taken.tick + 1), proof):
        was, now = change.before.state, change.after.state
        assert now is was or now in TRANSITIONS[was]
        assert now is not State.OFFLINE or (change.after.reason and change.after.message) or not change.moved
        assert change.after.version == change.before.version + 1


@given(slots, records(), observations, done_and_running(), evidence)
def test_silence_never_turns_a_served_model_offline(
    them: list[Any], before: dict[str, Record], last: Observation, acts: list[Operation], proof: Any
) -> None:
    known = {one.name: one.model for one in them if isinstance(one, SlotConfig) and one.enabled and one.model}
    mine = [one for one in them if one.name in known and before.get(one.name, Record("")).model == known[one.name]]
    for change in reconcile(mine, Recorded(before, last), seen(300, link=Link.BUSY), acts, at(301), proof):
        assert change.after.state is not State.OFFLINE or change.before.state not in UP


@given(slots, observations)
def test_the_order_of_the_slots_does_not_matter(them: list[Any], look: Observation) -> None:
    def outcome(some: list[Any]) -> dict[str, Record]:
        return {one.slot: one.after for one in reconcile(some, Recorded(), look, [], at(300))}

    assert outcome(them) == outcome(them[::-1])


def test_a_model_seen_before_a_reboot_and_gone_after_it_is_evicted_when_nothing_proves_more() -> None:
    previous = recorded(residency=Observation(NEVER, Link.UP, (resident("m"),)))
    assert one_after(seen(20), previous).reason is Reason.EVICTED
