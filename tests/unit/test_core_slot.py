"""core/slot: which verdict a slot gets, what a record becomes, and what is refused."""

from __future__ import annotations

import pytest

from hal0app.core.operation import Operation
from hal0app.core.reasons import CATALOGUE, Reason, message
from hal0app.core.residency import Resident
from hal0app.core.slot import (
    BLAMELESS,
    RULES,
    TRANSITIONS,
    Broken,
    Facts,
    Record,
    State,
    Verdict,
    advance,
    derive,
    guard,
    options_key,
)
from hal0app.core.slot_config import SlotConfig
from tests.unit.fakes import operation, resident, slot

MESSAGES = [
    ("never_loaded", {}, "not loaded yet (loads on the next request)"),
    ("evicted", {}, "model evicted from lemond (auto-reloads on next request)"),
    ("displaced", {"model": "X"}, "evicted to make room for X (auto-reloads on next request)"),
    (
        "nuclear",
        {"model": "X", "cause": "boom"},
        "unloaded because loading X failed: boom (auto-reloads on next request)",
    ),
    ("crashed", {}, "backend crashed (reloads on next request)"),
    ("lemond_restarted", {}, "lemond restarted (reloads on next request)"),
    ("idle", {"n": 7}, "unloaded after 7 min idle (reloads on next request)"),
    ("operator", {"who": "ann"}, "unloaded by ann"),
    ("swapped", {"who": "ann", "model": "X"}, "unloaded by ann, who swapped it for X"),
    ("disabled", {}, "turned off; requests are refused"),
]


@pytest.mark.parametrize(("reason", "facts", "text"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_every_reason_of_the_table_has_its_exact_message(reason: str, facts: dict[str, object], text: str) -> None:
    assert message(Reason(reason), **facts) == text


def test_every_reason_has_a_row() -> None:
    assert set(CATALOGUE) == set(Reason)


def test_a_models_own_braces_are_not_format_fields() -> None:
    assert "{0}{model}" in message(Reason.DISPLACED, model="{0}{model}")


def test_every_state_that_is_stored_has_a_row_of_transitions_to_states_that_are_stored() -> None:
    stored = {State(one) for one in ["offline", "pulling", "starting", "ready", "unloading", "error"]}
    assert set(TRANSITIONS) == stored
    assert all(row <= stored and state not in row for state, row in TRANSITIONS.items())


def verdict(
    one: SlotConfig | Broken,
    record: Record | None = None,
    *,
    known: bool = True,
    held: Resident | None = None,
    active: Operation | None = None,
    last: Operation | None = None,
) -> Verdict:
    return derive(Facts(one, record or Record(one.name), known, held, active, last))


READY = Record("primary", State.READY, Reason.NONE, "", model="m", version=3)
FAILED = operation(finished=12.0, error_code="model.load_failed", error_message="bad file", options=options_key(slot()))


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        pytest.param(verdict(Broken("primary", "p")), "error", "invalid_config", id="broken"),
        pytest.param(verdict(Broken("primary", "p"), held=resident()), "error", "invalid_config", id="broken-resident"),
        pytest.param(verdict(slot(enabled=False), held=resident()), "offline", "disabled", id="off-though-resident"),
        pytest.param(verdict(slot(enabled=False, model=None)), "offline", "disabled", id="off-and-empty"),
        pytest.param(verdict(slot(model=None)), "offline", "no_model", id="empty"),
        pytest.param(verdict(slot(), active=operation("load")), "starting", "", id="loading"),
        pytest.param(verdict(slot(), active=operation("load"), held=resident()), "starting", "", id="reloading"),
        pytest.param(verdict(slot(), active=operation("unload"), held=resident()), "unloading", "", id="unloading"),
        pytest.param(verdict(slot(), known=False), "offline", "never_loaded", id="silence-before-anything"),
        pytest.param(verdict(slot(), READY, known=False), "ready", "", id="silence-keeps-ready"),
        pytest.param(verdict(slot(), held=resident()), "ready", "", id="adopted"),
        pytest.param(verdict(slot(), held=resident(), last=FAILED), "ready", "", id="resident-after-a-failure"),
        pytest.param(verdict(slot(), last=FAILED), "error", "load_failed", id="failed"),
        pytest.param(verdict(slot(ctx_size=9), last=FAILED), "offline", "never_loaded", id="options-changed-since"),
        pytest.param(verdict(slot(), READY), "offline", "evicted", id="gone-without-proof"),
        pytest.param(verdict(slot(model="n"), READY), "offline", "never_loaded", id="another-model-now"),
    ],
)
def test_the_first_rule_that_holds_decides(told: Verdict, state: str, reason: str) -> None:
    assert (told.state, told.reason) == (state, reason)


@pytest.mark.parametrize("code", sorted(BLAMELESS))
def test_a_load_that_failed_for_no_fault_of_the_model_is_no_error(code: str) -> None:
    last = operation(finished=12.0, error_code=code, error_message="x", options=options_key(slot()))
    assert verdict(slot(), last=last).state is State.OFFLINE


def test_an_error_names_model_and_cause() -> None:
    assert verdict(slot(), last=FAILED).message == "loading m failed: bad file"


def test_a_broken_file_is_told_with_its_problem() -> None:
    assert verdict(Broken("x", "unknown key 'typ'")).message == "the definition is not valid: unknown key 'typ'"


def test_an_offline_slot_keeps_its_reason() -> None:
    before = Record(
        "primary", State.OFFLINE, Reason.DISPLACED, "evicted to ...", model="m", displaced_by="n", version=4
    )
    assert verdict(slot(), before) == Verdict(State.OFFLINE, Reason.DISPLACED, "evicted to ...", "n")


@pytest.mark.parametrize("reason", [Reason.DISABLED, Reason.NO_MODEL])
def test_a_reason_of_the_configuration_does_not_outlive_it(reason: Reason) -> None:
    before = Record("primary", State.OFFLINE, reason, message(reason), model="m", version=4)
    assert verdict(slot(), before).reason is Reason.NEVER_LOADED


def test_the_rules_end_in_one_that_always_holds() -> None:
    assert RULES[-1].holds(Facts(slot(), Record("primary"), known=True))


# -- the record


def test_a_record_that_stays_is_the_same_object() -> None:
    assert advance(READY, Verdict(State.READY), "m", None, 50.0) is READY


def test_the_first_record_is_a_change_even_when_it_says_nothing_new() -> None:
    after = advance(Record("primary"), derive(Facts(slot(model=None), Record("primary"), known=True)), None, None, 9.0)
    assert (after.version, after.since) == (1, 9.0)


def test_staleness_alone_moves_neither_since_nor_counters() -> None:
    after = advance(READY, Verdict(State.READY), "m", 77.0, 80.0)
    assert (after.stale_since, after.since, after.loads, after.version) == (77.0, READY.since, 0, 4)


def test_becoming_ready_counts_a_load_once() -> None:
    once = advance(
        Record("primary", State.STARTING, Reason.NONE, version=1, model="m"), Verdict(State.READY), "m", None, 1
    )
    assert once.loads == 1
    assert advance(once, Verdict(State.READY), "m", None, 2).loads == 1


@pytest.mark.parametrize("reason", list(Reason))
def test_only_what_left_unasked_counts_as_an_eviction(reason: Reason) -> None:
    lost = {Reason.EVICTED, Reason.DISPLACED, Reason.NUCLEAR, Reason.CRASHED, Reason.LEMOND_RESTARTED}
    after = advance(READY, Verdict(State.OFFLINE, reason, "x"), "m", None, 5.0)
    assert after.evictions == (reason in lost)


# -- the guard


@pytest.mark.parametrize(
    ("command", "reason", "code"),
    [
        ("load", Reason.DISABLED, "slot.disabled"),
        ("load", Reason.NO_MODEL, "slot.no_model"),
        ("load", Reason.INVALID_CONFIG, "slot.invalid"),
        ("load", Reason.LOAD_FAILED, None),
        ("load", Reason.EVICTED, None),
        ("serve", Reason.DISABLED, "slot.disabled"),
        ("serve", Reason.NO_MODEL, "slot.no_model"),
        ("serve", Reason.INVALID_CONFIG, "slot.error"),
        ("serve", Reason.LOAD_FAILED, "slot.error"),
        ("serve", Reason.NONE, None),
        ("serve", Reason.CRASHED, None),
        ("unload", Reason.DISABLED, None),
    ],
)
def test_a_command_is_refused_with_the_code_of_its_reason(command: str, reason: Reason, code: str | None) -> None:
    assert guard(command, Record("primary", reason=reason)) == code
