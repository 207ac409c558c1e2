"""The picture of the last hours, out of the journal."""

from __future__ import annotations

from typing import Any

from hal0app.core.journal import Entry
from hal0app.core.reasons import Reason
from hal0app.core.slot import Record, State
from hal0app.core.timeline import GRAINS, Phase, Span, timeline

START, END = 1000.0, 2000.0


def moved(ts: float, before: str, to: str, reason: str = "", slot: str = "a", why: str = "gone") -> Entry:
    data = {"from": before, "to": to, "reason": reason, "displaced_by": None}
    return Entry(ts, "slot.state", f"{slot} is {to}: {why}", slot=slot, model="m", data=data)


def lane(*entries: Entry, record: Record | None = None) -> Any:
    return timeline({"a": record or Record("a", State.READY, since=0.0, version=1)}, entries, START, END).lanes[0]


def test_a_slot_that_did_not_change_is_what_it_is_now_since_it_became_so() -> None:
    assert lane().spans == (Span(Phase.LOADED, START, END),)
    assert lane(record=Record("a", State.READY, since=1500.0, version=1)).spans == (Span(Phase.LOADED, 1500.0, END),)


def test_a_slot_that_was_never_recorded_has_an_empty_lane() -> None:
    assert lane(record=Record("a")).spans == ()


def test_changes_are_edges_and_what_was_before_the_first_counts_back_to_the_start() -> None:
    spans = lane(
        Entry(900.0, "x", "older"), moved(1200, "offline", "starting"), moved(1300, "starting", "ready"),
        moved(1600, "ready", "offline", "evicted"),
    ).spans  # fmt: skip
    assert spans == (
        Span(Phase.AWAY, START, 1200),
        Span(Phase.LOADING, 1200, 1300),
        Span(Phase.LOADED, 1300, 1600),
        Span(Phase.AWAY, 1600, END),
    )


def test_nothing_is_drawn_before_the_journals_oldest_entry() -> None:
    assert lane(moved(1400, "ready", "offline", "idle")).spans == (Span(Phase.AWAY, 1400, END),)


def test_states_that_look_alike_are_one_stretch() -> None:
    spans = lane(Entry(900.0, "x", "older"), moved(1200, "ready", "unloading"), moved(1300, "unloading", "ready")).spans
    assert spans == (Span(Phase.LOADED, START, END),)


def test_what_left_unasked_is_a_loss_with_its_cause_and_what_was_asked_for_is_none() -> None:
    shown = lane(
        moved(1200, "ready", "offline", "displaced", why="evicted to make room for b"),
        moved(1300, "offline", "ready"),
        moved(1400, "ready", "unloading"),
        moved(1500, "unloading", "offline", "operator", why="unloaded by you"),
        moved(1600, "offline", "error", "load_failed"),
    )
    assert [(one.at, one.reason, one.cause, one.model) for one in shown.losses] == [
        (1200, Reason.DISPLACED, "evicted to make room for b", "m")
    ]


def test_a_slot_that_was_away_already_is_not_lost_again() -> None:
    assert lane(moved(1200, "error", "offline", "evicted")).losses == ()


def test_losses_of_all_slots_are_listed_newest_first() -> None:
    records = {name: Record(name, version=1) for name in "ab"}
    entries = [moved(1200, "ready", "offline", "evicted"), moved(1300, "ready", "offline", "crashed", slot="b")]
    shown = timeline(records, entries, START, END)
    assert [(one.slot, one.at) for one in shown.losses] == [("b", 1300), ("a", 1200)]


def test_the_silence_of_lemond_is_marked_until_it_ends() -> None:
    entries = [
        Entry(1100, "system.lemond_down", ""),
        Entry(1200, "lemond.restart", ""),
        Entry(1900, "system.lemond_down", ""),
    ]
    assert timeline({}, entries, START, END).silences == ((1100, 1200), (1900, END))


def test_entries_of_slots_that_are_gone_are_left_out() -> None:
    assert timeline({}, [moved(1200, "ready", "offline", "evicted")], START, END).losses == []


def test_a_moment_is_placed_in_percent() -> None:
    assert timeline({}, [], START, END).percent(1250.0) == 25.0


def test_what_the_eye_cannot_tell_apart_is_drawn_as_one() -> None:
    grain = (END - START) / GRAINS
    steps = [START + 100 + grain * 0.4 * place for place in range(200)]
    moves = [
        moved(at, *(("offline", "ready", "") if place % 2 else ("ready", "offline", "evicted")))
        for place, at in enumerate(steps)
    ]
    shown = timeline({"a": Record("a", State.READY)}, moves, START, END)
    (one,) = shown.lanes
    assert len(one.losses) == 100
    spans, marks = shown.drawn(one), shown.marks(one)
    assert len(spans) < 60
    assert len(marks) < 60
    assert sum(1 + mark.more for mark in marks) == 100
    assert marks[0].loss == one.losses[-1]
    assert spans[-1].end == END


def test_what_can_be_told_apart_is_drawn_as_it_was() -> None:
    shown = timeline(
        {"a": Record("a", State.READY)},
        [Entry(900.0, "x", "older"), moved(1200, "ready", "offline", "evicted"), moved(1500, "offline", "ready", "")],
        START,
        END,
    )
    assert [span.phase for span in shown.drawn(shown.lanes[0])] == [Phase.LOADED, Phase.LOADED]
    assert [(mark.loss.at, mark.more) for mark in shown.marks(shown.lanes[0])] == [(1200, 0)]
