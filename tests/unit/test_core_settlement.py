"""core/settlement and core/journal: everything one reconciliation writes, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hal0app.core import journal
from hal0app.core.journal import LEVELS, Entry
from hal0app.core.operation import Cause
from hal0app.core.reasons import Reason
from hal0app.core.reconcile import Past, Recorded
from hal0app.core.residency import Link, Observation
from hal0app.core.settlement import Outcome, settle
from hal0app.core.slot import Broken, Record, State
from tests.unit.fakes import at, operation, resident, seen, slot


def run(past: Past, look: Observation, *slots: Any, source: str = "api") -> Outcome:
    return settle(slots or (slot(),), past, look, at(look.taken.tick), source)


def after(past: Past, outcome: Outcome) -> Past:
    """The past once `outcome` is written."""
    before = past.recorded
    records = {**before.records, **{one.slot: one.after for one in outcome.transitions}}
    kept = {name: one for name, one in records.items() if name not in outcome.forgotten}
    return replace(past, recorded=Recorded(kept, outcome.residency or before.residency, outcome.link or before.link))


READY = Record("primary", State.READY, Reason.NONE, "", model="m", version=2)
SETTLED = Past(Recorded({"primary": READY}, seen(10, "m")))


def test_a_look_that_shows_nothing_new_writes_nothing() -> None:
    assert run(SETTLED, seen(20, "m")).empty


def test_an_empty_outcome_is_one_that_writes_nothing() -> None:
    assert Outcome().empty
    assert not Outcome(link=Link.DOWN).empty
    assert not Outcome(residency=seen(1)).empty
    assert not Outcome(forgotten=("a",)).empty


def test_a_look_older_than_the_stored_residency_changes_nothing() -> None:
    assert run(SETTLED, seen(9.99)).empty
    assert run(SETTLED, seen(9.99, link=Link.DOWN)).empty


def test_the_first_record_is_not_journalled() -> None:
    outcome = run(Past(), seen(20, "m"))
    assert [one.after.state for one in outcome.transitions] == [State.READY]
    assert outcome.entries == ()


def test_an_eviction_is_journalled_once_by_whoever_sees_it_first() -> None:
    first = run(SETTLED, seen(20))
    (entry,) = first.entries
    assert (entry.kind, entry.slot, entry.model, entry.level, entry.source) == (
        "slot.state",
        "primary",
        "m",
        "info",
        "api",
    )
    assert entry.message == "primary is offline: model evicted from lemond (auto-reloads on next request)"
    assert entry.data == {"from": "ready", "to": "offline", "reason": "evicted", "displaced_by": None}
    assert run(after(SETTLED, first), seen(21), source="drift").empty


def test_an_eviction_for_another_model_has_a_kind_of_its_own() -> None:
    assert [one.kind for one in run(SETTLED, seen(20, "n")).entries] == ["evict.displaced"]


def test_becoming_stale_is_not_an_entry() -> None:
    outcome = run(SETTLED, seen(20, link=Link.BUSY))
    assert [one.moved for one in outcome.transitions] == [False]
    assert outcome.entries == ()


def test_an_error_is_journalled_as_an_error() -> None:
    (entry,) = run(SETTLED, seen(20, "m"), Broken("primary", "bad")).entries
    assert (entry.level, entry.kind) == ("error", "slot.state")


def test_all_victims_of_one_wipe_are_told_each_once() -> None:
    two = Recorded({"a": replace(READY, slot="a"), "b": replace(READY, slot="b", model="n")}, seen(10, "m", "n"))
    wipe = operation("load", "o", 12, finished=15.0, error_code="model.load_failed", result={"victims": ["m", "n"]})
    outcome = run(Past(two, (wipe,)), seen(20), slot("a"), slot("b", "n"))
    assert [(one.data["reason"], one.slot) for one in outcome.entries] == [("nuclear", "a"), ("nuclear", "b")]


def test_a_slot_whose_file_is_gone_is_forgotten() -> None:
    outcome = run(SETTLED, seen(20, "m"), slot("other", "n"))
    assert outcome.forgotten == ("primary",)


# -- the link


@pytest.mark.parametrize(
    ("before", "now", "kinds", "stored"),
    [
        (Link.UP, Link.UP, [], None),
        (Link.UP, Link.BUSY, [], Link.BUSY),
        (Link.UP, Link.DOWN, ["system.lemond_down"], Link.DOWN),
        (Link.BUSY, Link.UP, [], Link.UP),
        (Link.BUSY, Link.DOWN, ["system.lemond_down"], Link.DOWN),
        (Link.DOWN, Link.DOWN, [], None),
        (Link.DOWN, Link.BUSY, [], None),
        (Link.DOWN, Link.UP, ["lemond.restart"], Link.UP),
        (Link.UP, Link.SILENT, ["system.lemond_down"], Link.SILENT),
        (Link.BUSY, Link.SILENT, ["system.lemond_down"], Link.SILENT),
        (Link.SILENT, Link.BUSY, [], None),
        (Link.SILENT, Link.DOWN, [], Link.DOWN),
        (Link.SILENT, Link.UP, ["system.lemond_up"], Link.UP),
        (Link.DOWN, Link.SILENT, [], None),
    ],
)
def test_a_change_of_the_link_is_told_once(before: Link, now: Link, kinds: list[str], stored: Link | None) -> None:
    past = Past(Recorded({"primary": READY}, seen(10, "m"), before))
    outcome = run(past, seen(20, *(["m"] if now is Link.UP else []), link=now))
    assert [one.kind for one in outcome.entries] == kinds
    assert outcome.link is stored


def test_an_absence_is_remembered_through_the_silence_after_it_until_the_empty_residency() -> None:
    past = SETTLED
    for look in (seen(20, link=Link.DOWN), seen(21, link=Link.BUSY), seen(22)):
        outcome = run(past, look)
        past = after(past, outcome)
    assert past.recorded.records["primary"].reason is Reason.LEMOND_RESTARTED


def test_another_boot_without_a_visible_absence_is_a_restart() -> None:
    past = Past(Recorded({"primary": READY}, seen(10, "m", boot="a")))
    outcome = run(past, seen(20, boot="b"))
    assert [one.kind for one in outcome.entries] == ["lemond.restart", "slot.state"]
    assert outcome.transitions[0].after.reason is Reason.LEMOND_RESTARTED


def test_back_with_another_boot_is_one_entry_not_two() -> None:
    past = Past(Recorded({}, seen(10, boot="a"), Link.DOWN))
    assert [one.kind for one in run(past, seen(20, boot="b")).entries] == ["lemond.restart"]


# -- the residency


@pytest.mark.parametrize(
    "look",
    [
        seen(20),
        seen(20, "m", "n"),
        seen(20, resident("m", 2)),
        seen(20, "m", boot="b"),
        seen(20, "m", capacity={"llm": 1}),
    ],
    ids=["left", "arrived", "loaded-anew", "another-boot", "another-capacity"],
)
def test_another_residency_is_stored(look: Observation) -> None:
    assert run(SETTLED, look).residency is look


@pytest.mark.parametrize(
    "look",
    [seen(20, resident("m", busy=True)), seen(20, resident("m", last_use=9)), seen(20, link=Link.BUSY)],
    ids=["busy", "used", "silent"],
)
def test_the_same_residency_is_not_written_again(look: Observation) -> None:
    assert run(SETTLED, look).residency is None


# -- operations in the journal


@pytest.mark.parametrize(
    ("done", "kind", "level", "text"),
    [
        (operation("load", finished=12.0), "slot.load", "info", "m was loaded (request)"),
        (
            operation("unload", finished=12.0, cause=Cause("operator", "ann")),
            "slot.unload",
            "info",
            "m was unloaded (operator)",
        ),
        (
            operation("load", finished=12.0, error_code="model.load_failed", error_message="bad"),
            "slot.load",
            "error",
            "m could not be loaded: bad",
        ),
        (
            operation(
                "load", error_code="model.load_failed", error_message="'m' could not be loaded: bad", finished=1.0
            ),
            "slot.load",
            "error",
            "m could not be loaded: bad",
        ),
        (
            operation("unload", finished=12.0, error_code="slot.loading", error_message="busy"),
            "slot.unload",
            "error",
            "m could not be unloaded: busy",
        ),
    ],
    ids=["load", "unload", "failed-load", "failed-load-said-twice", "failed-unload"],
)
def test_the_end_of_an_operation_is_told_in_words(done: Any, kind: str, level: str, text: str) -> None:
    entry = journal.of_operation(done, at(12))
    assert (entry.kind, entry.level, entry.message, entry.operation) == (kind, level, text, done.id)


def test_levels_are_those_of_the_journal() -> None:
    assert {Entry(0, "k", "m").level, "warning", "error"} == set(LEVELS)


# -- time
