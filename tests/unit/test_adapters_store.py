"""adapters/store: what is stored, atomically, by several processes at once, and across reboots."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters.database import BUSY_TIMEOUT_S, CACHE_KIB, connect
from hal0app.adapters.store import Store
from hal0app.core import quarantine
from hal0app.core.clock import NEVER, Moment
from hal0app.core.journal import Entry, of_operation
from hal0app.core.operation import Cause, Evidence, Status
from hal0app.core.reasons import Reason
from hal0app.core.reconcile import Past
from hal0app.core.residency import Link
from hal0app.core.settings import Retention
from hal0app.core.settlement import Outcome, settle
from hal0app.core.slot import State, options_key
from tests.unit.fakes import WALL, Asking, at, operation, resident, seen, slot

RETENTION = Retention(journal=100, operations=100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "hal0.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path, RETENTION)
    yield made
    made.close()


@pytest.fixture
def other(path: Path, store: Store) -> Iterator[Store]:
    """Another process on the same file."""
    made = Store(path, RETENTION)
    yield made
    made.close()


def look(
    store: Store, tick: float, *models: Any, source: str = "api", it: Any = None, now: float | None = None, **facts: Any
) -> Outcome:
    """Settle a look taken at `tick`, `now` (at once unless told otherwise)."""
    observed, them, moment = seen(tick, *models, **facts), [it or slot()], at(now or tick)
    return store.settle(lambda past: settle(them, past, observed, moment, source), moment)


def entry(message: str = "x", **facts: Any) -> Entry:
    return Entry(1_700_000_000.5, facts.pop("kind", "slot.state"), message, **facts)


# -- what is written is what is read


def test_a_new_store_remembers_nothing(store: Store) -> None:
    assert store.past(at(1)) == Past()
    assert (store.journal(), store.findings(), store.operation("x")) == ([], [], None)


def test_a_settlement_is_read_back_whole_by_another_process(store: Store, other: Store) -> None:
    look(store, 5)
    look(store, 10, resident("m", 7, pinned=True, ctx_size=4), capacity={"llm": 2}, boot="b")
    past = other.past(at(11))
    record = past.recorded.records["primary"]
    assert (record.state, record.reason, record.loads, record.version, record.model) == (State.READY, "", 1, 2, "m")
    residency = past.recorded.residency
    assert residency == seen(10, resident("m", 7, pinned=True, ctx_size=4), capacity={"llm": 2}, boot="b")
    assert past.recorded.link is Link.UP


def test_an_eviction_is_told_with_all_its_facts(store: Store) -> None:
    look(store, 5, "m")
    look(store, 10, "n")
    (told,) = store.journal()
    assert (told.kind, told.slot, told.model, told.source, told.level) == (
        "evict.displaced",
        "primary",
        "m",
        "api",
        "info",
    )
    assert told.data["displaced_by"] == "n"
    assert told.id == 1
    assert told.ts == pytest.approx(at(10).wall, abs=0.001)


def test_a_silence_is_stored_with_its_beginning(store: Store) -> None:
    look(store, 5, "m")
    look(store, 10, link=Link.DOWN)
    look(store, 20, link=Link.DOWN)
    recorded = store.past(at(21)).recorded
    assert (recorded.link, recorded.link_since) == (Link.DOWN, at(10).wall)
    assert recorded.records["primary"].stale_since == at(10).wall
    assert recorded.residency.models() == {"m"}


def test_the_first_thing_ever_seen_may_be_silence(store: Store) -> None:
    look(store, 5, link=Link.DOWN)
    recorded = store.past(at(6)).recorded
    assert (recorded.link, recorded.residency.taken, recorded.residency.residents) == (Link.DOWN, NEVER, ())


def test_the_record_of_a_slot_that_is_no_more_is_dropped(store: Store) -> None:
    look(store, 5, "m")
    look(store, 6, "m", it=slot("other"))
    assert set(store.past(at(7)).recorded.records) == {"other"}


def test_nothing_is_written_when_nothing_is_new(store: Store, path: Path) -> None:
    look(store, 5, "m")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    assert look(store, 6, "m").empty
    blocker.execute("ROLLBACK")
    blocker.close()


def test_an_operation_is_read_back_as_it_was(store: Store, other: Store) -> None:
    begun = operation("load", "m", 3, slot="primary", cause=Cause("operator", "ann", "n"), owner="api 1", options="o")
    store.save_operation(begun)
    assert other.operation(begun.id) == replace(begun, heartbeat=begun.started)
    ended = replace(
        begun,
        status=Status.FAILED,
        finished=at(9),
        heartbeat=begun.started,
        error_code="model.load_failed",
        error_message="bad",
        result={"victims": ["a", "ü"]},
    )
    store.save_operation(ended, [of_operation(ended, at(9))])
    assert other.operation(begun.id) == ended
    assert [one.kind for one in other.journal()] == ["slot.load"]
    assert other.past(at(10)).operations == (ended,)


def test_an_error_cut_inside_a_character_is_stored_without_its_half(store: Store) -> None:
    failed = operation(finished=11.0, error_code="x", error_message="cut \ud83d")
    store.save_operation(failed, [of_operation(failed, at(11))])
    found = store.operation(failed.id)
    assert found is not None
    assert found.error_message == "cut ?"
    assert len(store.journal()) == 1


def test_a_heartbeat_moves_only_a_running_operation(store: Store) -> None:
    running, done = operation(id="a", started=1), operation(id="b", started=1, finished=2.0, heartbeat=2.0)
    for one in (running, done):
        store.save_operation(one)
        store.heartbeat(one.id, at(20))
    store.heartbeat("unknown", at(20))
    found = store.operation("a"), store.operation("b")
    assert [one and one.heartbeat and one.heartbeat.tick for one in found] == [20, 2]


def test_the_past_has_what_runs_and_the_latest_of_every_kind_for_every_model(store: Store) -> None:
    for one in (
        operation("load", "m", 0.1, finished=0.2),
        operation("load", "m", 1, finished=2.0),
        operation("unload", "m", 3, finished=4.0),
        operation("load", "n", 2, finished=3.0),
        operation("load", "m", 5),
    ):
        store.save_operation(one)
    assert {one.id for one in store.past(at(6)).operations} == {"load-m-1", "unload-m-3", "load-n-2", "load-m-5"}


def test_the_latest_evidence_of_its_kind_is_kept(store: Store, other: Store) -> None:
    store.save_evidence(Evidence("m", "crashed", at(1), {"proof": "a"}))
    other.save_evidence(Evidence("m", "crashed", at(2), {"proof": "b"}))
    assert store.past(at(3)).evidence == (Evidence("m", "crashed", at(2), {"proof": "b"}),)


def test_only_the_named_evidence_about_a_model_is_forgotten(store: Store, other: Store) -> None:
    for model, kind in (("m", "crashed"), ("m", "crash_loop"), ("m", "pinned"), ("n", "crashed")):
        store.save_evidence(Evidence(model, kind, at(1)))
    other.forget_evidence("m", "crashed", "crash_loop")
    assert {(one.model, one.kind) for one in store.past(at(2)).evidence} == {("m", "pinned"), ("n", "crashed")}
    assert store.proofs("crashed") == [Evidence("n", "crashed", at(1))]


def test_the_load_that_ended_last_counts_though_the_wall_clock_was_set_back(store: Store) -> None:
    failed = operation("load", "m", 10, finished=11.0, error_code="model.load_failed", options=options_key(slot()))
    store.save_operation(replace(failed, started=Moment(10, WALL + 3600)))
    store.save_operation(operation("load", "m", 20, finished=21.0, options=options_key(slot())))
    look(store, 22, "m")
    look(store, 30)
    assert store.past(at(31)).recorded.records["primary"].state is State.OFFLINE


# -- several processes


def test_processes_that_open_a_new_file_at_once_all_get_it(path: Path) -> None:
    start = threading.Barrier(4)

    def opened() -> None:
        start.wait(20)
        mine = Store(path, RETENTION)
        try:
            look(mine, 5)
        finally:
            mine.close()

    for one in [Asking(opened) for _ in range(4)]:
        one.result()


def test_a_change_decided_on_an_outdated_record_is_refused(store: Store, other: Store) -> None:
    look(store, 5, "m")

    def meddled(past: Past) -> Outcome:
        outcome = settle([slot()], past, seen(10), at(10), "api")
        change = outcome.transitions[0]
        return replace(outcome, transitions=(replace(change, before=replace(change.before, version=99)),))

    with pytest.raises(sqlite3.IntegrityError, match="changed under"):
        store.settle(meddled, at(10))
    assert store.past(at(11)).recorded.records["primary"].state is State.READY
    assert store.journal() == []
    look(other, 12)
    assert len(store.journal()) == 1


def test_a_failing_decision_leaves_everything_as_it_was(store: Store, other: Store) -> None:
    look(store, 5, "m")

    def broken(past: Past) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.settle(broken, at(6))
    look(other, 7)
    look(store, 8, "m")
    assert len(store.journal()) == 2


@pytest.mark.parametrize("order", ["api-first", "drift-first"])
def test_whoever_sees_an_eviction_first_writes_it_and_the_other_writes_nothing(
    store: Store, other: Store, order: str
) -> None:
    look(store, 5, "m")
    one, two = (store, other) if order == "api-first" else (other, store)
    assert not look(one, 10).empty
    assert look(two, 10.5).empty
    assert look(two, 9.5, "m", now=11).empty, "an older look must not bring it back"
    assert len(store.journal()) == 1


def test_a_look_that_was_settled_late_loses_to_a_later_look_of_another_process(store: Store, other: Store) -> None:
    look(store, 5)
    look(other, 10.06, "m")
    assert look(store, 10.00, now=10.05).empty
    assert store.past(at(11)).recorded.records["primary"].state is State.READY


def test_a_heartbeat_that_overtakes_a_look_says_that_somebody_works(store: Store) -> None:
    look(store, 5)
    running = operation("load", "m", 6)
    store.save_operation(running)
    look(store, 7)
    store.heartbeat(running.id, at(11.001))
    look(store, 10.9, now=11.0)
    assert store.past(at(12)).recorded.records["primary"].state is State.STARTING


def test_two_processes_at_once_lose_no_change_and_tell_every_event_once(store: Store, other: Store) -> None:
    look(store, 1)
    start = threading.Barrier(2)
    rounds = 12

    def observe(mine: Store, source: str) -> None:
        for number in range(rounds):
            start.wait(20)
            look(mine, 10.0 + number, *(["m"] if number % 2 == 0 else []), source=source)

    for one in [Asking(lambda: observe(store, "api")), Asking(lambda: observe(other, "drift"))]:
        one.result()
    record = store.past(at(99)).recorded.records["primary"]
    assert (record.loads, record.evictions) == (rounds // 2, rounds // 2)
    assert record.version == rounds + 1
    told = store.journal()
    assert [one.data["to"] for one in told] == ["ready", "offline"] * (rounds // 2)
    assert {one.source for one in told} <= {"api", "drift"}


def test_writers_at_once_lose_no_journal_entry(store: Store, other: Store) -> None:
    def write(mine: Store, name: str) -> None:
        for number in range(20):
            mine.write_journal([entry(f"{name} {number}")])

    for one in [Asking(lambda: write(store, "a")), Asking(lambda: write(other, "b"))]:
        one.result()
    told = [one.message for one in store.journal()]
    assert sorted(told) == sorted(f"{name} {number}" for name in "ab" for number in range(20))
    assert [one for one in told if one[0] == "a"] == [f"a {number}" for number in range(20)]


def test_the_threads_of_one_process_share_a_store(store: Store) -> None:
    for one in [Asking(lambda: store.write_journal([entry("x")])) for _ in range(10)]:
        one.result()
    assert len(store.journal()) == 10


def test_the_wait_for_another_writer_is_short() -> None:
    assert BUSY_TIMEOUT_S <= 5


def test_a_connection_keeps_few_pages(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "hal0.db")) as db:
        assert db.execute("PRAGMA cache_size").fetchone() == (-CACHE_KIB,)
        assert db.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL


# -- reboots


@pytest.fixture
def rebooted(tmp_path: Path) -> Iterator[Callable[[Callable[[Store], object]], Store]]:
    """Does something with the store, then opens it again after another start of the machine."""
    opened: list[Store] = []

    def reboot(before: Callable[[Store], object]) -> Store:
        store = Store(tmp_path / "hal0.db", Retention(), boot="one")
        before(store)
        store.close()
        opened.append(Store(tmp_path / "hal0.db", Retention(), boot="two"))
        return opened[-1]

    yield reboot
    for store in opened:
        store.close()


Reboot = Callable[[Callable[[Store], object]], Store]


def test_after_a_reboot_lemond_is_known_to_have_been_restarted(rebooted: Reboot) -> None:
    store = rebooted(lambda store: look(store, 90_000, "m"))
    assert store.past(at(30)).recorded.residency.models() == {"m"}
    look(store, 30)
    record = store.past(at(31)).recorded.records["primary"]
    assert (record.state, record.reason) == (State.OFFLINE, Reason.LEMOND_RESTARTED)


def test_after_a_reboot_an_operation_that_ran_runs_no_more(rebooted: Reboot) -> None:
    store = rebooted(lambda store: store.save_operation(operation("load", "m", 20)))
    (found,) = store.past(at(30)).operations
    assert (found.running, found.error_code) == (False, "system.interrupted")
    look(store, 30)
    assert store.past(at(31)).recorded.records["primary"].state is State.OFFLINE


def test_after_a_reboot_an_operation_does_not_run_again_once_the_clock_comes_to_its_start(rebooted: Reboot) -> None:
    def load_when_the_power_fails(store: Store) -> None:
        look(store, 400)
        store.save_operation(operation("load", "m", 500))

    store = rebooted(load_when_the_power_fails)
    for tick in (30, 499, 505):
        look(store, tick)
        assert store.past(at(tick + 1)).recorded.records["primary"].state is State.OFFLINE


def test_after_a_reboot_an_old_wipe_explains_no_departure(rebooted: Reboot) -> None:
    def wipe(store: Store) -> None:
        look(store, 90_000, "m")
        lost = {"error_code": "model.load_failed", "error_message": "old", "result": {"victims": ["m"]}}
        store.save_operation(operation("load", "n", 80_000, finished=80_001.0, **lost))

    store = rebooted(wipe)
    look(store, 30)
    assert store.past(at(31)).recorded.records["primary"].reason is Reason.LEMOND_RESTARTED


def test_after_a_reboot_a_failed_load_still_speaks_against_its_slot(rebooted: Reboot) -> None:
    failed = operation("load", "m", 90_000, finished=90_001.0, error_code="x", options=options_key(slot()))
    store = rebooted(lambda store: store.save_operation(failed))
    look(store, 30)
    record = store.past(at(31)).recorded.records["primary"]
    assert (record.state, record.reason) == (State.ERROR, Reason.LOAD_FAILED)


def test_after_a_reboot_old_evidence_proves_nothing(rebooted: Reboot) -> None:
    store = rebooted(lambda store: store.save_evidence(Evidence("m", "crashed", at(90_000))))
    assert store.past(at(30)).evidence == ()


def test_after_a_reboot_a_quarantine_is_known_and_its_pause_over(rebooted: Reboot) -> None:
    failed = quarantine.after_failure(None, "m", "no such tensor", "", at(90_000))
    store = rebooted(lambda store: store.save_evidence(quarantine.evidence(failed)))
    kept = quarantine.read(store.proofs(quarantine.KIND)[0])
    assert (kept.cause, kept.since) == (failed.cause, failed.since)
    assert quarantine.refusal(kept, None, at(30)) is None


# -- the journal


HOSTILE = ["%", "_", "'", '"', "\\", "a' OR '1'='1", "; DROP TABLE journal; --", ":since", "?", "\x00", "[a-z]", "*"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_search_is_for_the_text_as_it_stands(store: Store, text: str) -> None:
    store.write_journal([entry("plain"), entry(f"with {text} inside")])
    assert [one.message for one in store.journal(q=text)] == [f"with {text} inside"]
    assert store.journal(slot=text) == store.journal(kind=text) == store.journal(level=text) == []
    assert len(store.journal()) == 2


def test_a_search_does_not_mind_capitals(store: Store) -> None:
    store.write_journal([entry("Model Evicted")])
    assert len(store.journal(q="model EVICTED")) == 1


def test_filters_narrow_together_and_empty_ones_do_not(store: Store) -> None:
    store.write_journal(
        [
            entry("a", slot="x", level="error"),
            entry("b", slot="x"),
            entry("c", slot="y", level="error", kind="k", source="drift"),
        ]
    )

    def told(**filters: Any) -> str:
        return "".join(one.message for one in store.journal(**filters))

    assert told(slot="x", level="error") == "a"
    assert told(level="error") == "ac"
    assert told(kind="k") == told(source="drift") == "c"
    assert told(slot="", q=None, level="") == "abc"


def test_reading_goes_on_after_an_id_or_takes_the_newest(store: Store) -> None:
    store.write_journal([entry(str(number)) for number in range(10)])

    def told(**how: Any) -> list[int]:
        return [one.id or 0 for one in store.journal(**how)]

    assert told(limit=3) == [1, 2, 3]
    assert told(since=3, limit=3) == [4, 5, 6]
    assert told(newest=True, limit=3) == [8, 9, 10]
    assert told(since=10) == told(since=99) == []
    assert told(since=8, newest=True) == [9, 10]


def test_an_entry_is_read_back_whole(store: Store) -> None:
    whole = entry("ü", slot="s", model="m", data={"a": [1, None]}, agent="curl", operation="op", level="warning")
    store.write_journal([whole])
    assert store.journal() == [replace(whole, id=1)]


def test_only_the_newest_entries_are_kept_and_ids_go_on(store: Store) -> None:
    for _ in range(3):
        store.write_journal([entry(str(number)) for number in range(60)])
    told = store.journal(limit=1000)
    assert (len(told), told[0].id, told[-1].id) == (100, 81, 180)


def test_only_the_newest_operations_are_kept_but_never_a_running_one_is_dropped(store: Store) -> None:
    store.save_operation(operation("load", "slow", 0.5, id="running"))
    for number in range(130):
        store.save_operation(operation("load", f"m{number % 5}", 1.0 + number, finished=2.0 + number, id=str(number)))
    assert store.operation("running") is not None
    assert store.operation("0") is None
    assert store.operation("129") is not None


def test_the_last_operation_of_a_model_is_kept_however_many_others_had(store: Store) -> None:
    store.save_operation(operation("load", "bad", 1.0, finished=2.0, id="its failure", error_code="x"))
    for number in range(300):
        store.save_operation(operation("load", f"m{number % 5}", 3.0 + number, finished=4.0 + number, id=str(number)))
    assert "its failure" in {one.id for one in store.past(at(1000)).operations}


def test_listeners_hear_of_entries_and_of_nothing_else(store: Store) -> None:
    heard: list[int] = []
    store.on_journal(lambda: heard.append(1))
    look(store, 5, "m")
    look(store, 6, "m")
    store.save_operation(operation())
    store.write_journal([])
    assert heard == []
    look(store, 7)
    store.write_journal([entry()])
    store.save_operation(operation(), [entry()])
    store.keep_findings("config.drift", {"a": "x"}, at(8), "drift")
    assert len(heard) == 4


# -- findings


def test_a_finding_is_told_when_it_is_new_or_another_and_dropped_when_it_is_mended(store: Store, other: Store) -> None:
    def found(mine: Store, tick: float, **them: str) -> list[str]:
        return [one.message for one in mine.keep_findings("config.drift", them, at(tick), "drift")]

    assert found(store, 1, a="a1", b="b1") == ["a1", "b1"]
    assert found(other, 2, a="a1", b="b1") == []
    assert found(other, 3, a="a2", b="b1") == ["a2"]
    assert [(one["key"], one["text"], one["since"]) for one in store.findings()] == [
        ("b", "b1", at(1).wall),
        ("a", "a2", at(3).wall),
    ]
    assert found(store, 4) == []
    assert store.findings() == []
    assert found(store, 5, a="a1") == ["a1"]
    assert len(store.journal(kind="config.drift")) == 4


def test_findings_of_another_kind_are_left_alone(store: Store) -> None:
    store.keep_findings("one", {"a": "x"}, at(1), "drift")
    store.keep_findings("two", {}, at(2), "drift")
    assert [one["kind"] for one in store.findings()] == ["one"]


# -- a file that is no database


def test_a_file_that_is_no_database_is_an_error_and_is_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "hal0.db"
    file.write_text("not a database, but long enough to look at" * 40)
    before = file.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        Store(file, RETENTION)
    assert file.read_bytes() == before


def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Store(tmp_path, RETENTION)
