"""services/observer, services/catalogue and services/drift: looking at lemond, and remembering what it said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.operation import Operation
from hal0app.core.residency import Link
from hal0app.services.catalogue import KEEP_S, Catalogue
from hal0app.services.drift import BLIND, CLEAN, NEWS, Report, check, due
from hal0app.services.observer import Observer, Snapshot
from tests.support.waiting import eventually
from tests.unit.fakes import Asking, FakeLemond, Folder, HandClock, House, MemoryStates, operation, slot

# -- the observer


@pytest.fixture
def house() -> Iterator[House]:
    with House(slot()).running() as made:
        yield made


def test_before_the_first_look_nothing_is_known() -> None:
    snapshot = House(slot()).observer.snapshot
    assert (snapshot.slots, snapshot.configs, snapshot.slot("primary")) == ((), [], None)
    assert snapshot.record("primary").state == "offline"
    assert not snapshot.seen.fresh


def test_a_step_looks_settles_and_publishes() -> None:
    house = House(slot())
    heard: list[Snapshot] = []
    house.observer.subscribe(heard.append)
    house.lemond.put("m")
    told = house.observer.step()
    assert told is house.observer.snapshot
    assert heard == [told]
    assert (told.record("primary").state, told.residency.models()) == ("ready", {"m"})
    assert house.store.recorded.records["primary"] == told.record("primary")


def test_silence_keeps_the_last_known_residency() -> None:
    house = House(slot())
    house.lemond.put("m")
    house.observer.step()
    house.lemond.link = Link.BUSY
    told = house.observer.step()
    assert (told.seen.link, told.residency.models()) == (Link.BUSY, {"m"})
    assert told.record("primary").stale_since is not None


def test_a_wait_ends_with_a_look_that_began_later(house: House) -> None:
    for _ in range(5):
        asked = house.clock()
        told = house.observer.after(asked, 20)
        assert told is not None
        assert told.seen.taken.tick > asked.tick


def test_a_wait_for_the_residency_is_not_content_with_silence(house: House) -> None:
    house.lemond.link = Link.BUSY
    asked = house.clock()
    assert house.observer.after(asked, 20, fresh=False) is not None
    assert house.observer.after(asked, 0.01) is None
    waiting = Asking(lambda: house.observer.after(asked, 20))
    house.lemond.link = Link.UP
    assert waiting.result().seen.fresh


def test_a_wait_gives_up_when_nobody_looks() -> None:
    house = House(slot())
    assert house.observer.after(house.clock(), 0.01) is None


def test_stopping_ends_every_wait(house: House) -> None:
    house.lemond.link = Link.BUSY
    waiting = [Asking(lambda: house.observer.after(house.clock(), 20)) for _ in range(3)]
    house.observer.stop()
    assert [one.result() for one in waiting] == [None] * 3


def test_a_look_that_fails_does_not_end_the_observer(house: House) -> None:
    broken = house.lemond.look
    house.lemond.look = None  # type: ignore[method-assign, assignment]
    assert house.observer.after(house.clock(), 0.05) is None
    house.lemond.look = broken  # type: ignore[method-assign]
    assert house.observer.after(house.clock(), 20) is not None


def test_an_edit_of_a_slot_is_seen_by_the_next_look(house: House) -> None:
    house.folder.put(slot("new", "n"))
    house.look()
    assert house.observer.snapshot.record("new").reason == "never_loaded"
    house.folder.remove("primary")
    house.look()
    assert house.observer.snapshot.slot("primary") is None
    assert "primary" not in house.store.recorded.records


def test_two_observers_of_one_store_tell_an_event_once() -> None:
    house = House(slot())
    other = Observer(house.lemond, house.folder, house.store, house.clock, source="drift")
    house.lemond.put("m")
    for one in (house.observer, other):
        one.step()
    house.lemond.drop("m")
    for one in (other, house.observer, other):
        one.step()
    assert [one.source for one in house.store.told("slot.state")] == ["drift"]
    assert house.observer.snapshot.record("primary").reason == "evicted"


# -- the catalogue


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def lemond(clock: HandClock) -> FakeLemond:
    return FakeLemond(clock, [{"id": "m"}, {"id": "far", "downloaded": False}])


@pytest.fixture
def catalogue(lemond: FakeLemond, clock: HandClock) -> Catalogue:
    return Catalogue(lemond, clock)


def test_the_list_is_read_once_and_again_after_a_while(
    catalogue: Catalogue, lemond: FakeLemond, clock: HandClock
) -> None:
    assert [one.id for one in catalogue.models()] == ["m"]
    clock.pass_s(KEEP_S)
    catalogue.models()
    assert lemond.asked == ["*"]
    lemond.rows["n"] = {"id": "n"}
    clock.pass_s(1)
    assert [one.id for one in catalogue.models()] == ["m", "n"]
    assert lemond.asked == ["*", "*"]


def test_known_models_are_told_without_asking(catalogue: Catalogue, lemond: FakeLemond) -> None:
    assert catalogue.known() == []
    catalogue.models()
    assert [one.id for one in catalogue.known()] == ["m"]
    assert lemond.asked == ["*"]


def test_a_dead_lemond_leaves_the_last_list_and_is_not_asked_by_every_listing(
    catalogue: Catalogue, lemond: FakeLemond, clock: HandClock
) -> None:
    catalogue.models()
    lemond.link = Link.DOWN
    clock.pass_s(KEEP_S + 1)
    for _ in range(5):
        assert [one.id for one in catalogue.models()] == ["m"]
    assert lemond.asked == ["*", "*"]
    clock.pass_s(3)
    lemond.link = Link.UP
    catalogue.models()
    assert lemond.asked == ["*", "*", "*"]


def test_a_lemond_dead_from_the_start_is_an_empty_list(catalogue: Catalogue, lemond: FakeLemond) -> None:
    lemond.link = Link.DOWN
    assert catalogue.models() == []


def test_a_model_on_the_list_is_found_without_asking(catalogue: Catalogue, lemond: FakeLemond) -> None:
    catalogue.models()
    assert catalogue.find("m") is not None
    assert lemond.asked == ["*"]


def test_a_model_not_on_the_list_is_asked_for(catalogue: Catalogue, lemond: FakeLemond) -> None:
    catalogue.models()
    far = catalogue.find("far")
    assert far is not None
    assert not far.downloaded
    assert catalogue.find("unknown") is None
    lemond.rows["new"] = {"id": "new"}
    assert catalogue.find("new") is not None
    assert catalogue.find("new") is not None
    assert lemond.asked == ["*", "far", "unknown", "new"]
    assert "new" in {one.id for one in catalogue.known()}


def test_another_name_of_a_model_is_asked_for_once_and_then_needs_no_lemond(
    catalogue: Catalogue, lemond: FakeLemond
) -> None:
    lemond.rows["user.m"] = {"id": "m"}
    for _ in range(2):
        found = catalogue.find("user.m")
        assert found is not None
        assert found.id == "m"
        lemond.link = Link.DOWN
    assert lemond.asked.count("user.m") == 1


def test_a_name_that_is_listed_itself_means_that_model(catalogue: Catalogue, lemond: FakeLemond) -> None:
    lemond.rows["user.m"] = {"id": "m"}
    catalogue.find("user.m")
    lemond.rows["user.m"] = {"id": "user.m"}
    catalogue.forget()
    found = catalogue.find("user.m")
    assert found is not None
    assert found.id == "user.m"


def test_a_list_that_is_due_is_read_once_by_the_first_who_looks_for_a_model(
    catalogue: Catalogue, lemond: FakeLemond, clock: HandClock
) -> None:
    catalogue.models()
    clock.pass_s(KEEP_S + 1)
    for _ in range(3):
        assert catalogue.find("m") is not None
    eventually(lambda: lemond.asked == ["*", "*"])


def test_a_model_that_was_deleted_is_forgotten(catalogue: Catalogue, lemond: FakeLemond, clock: HandClock) -> None:
    catalogue.models()
    del lemond.rows["m"]
    clock.pass_s(KEEP_S + 1)
    catalogue.find("m")
    eventually(lambda: catalogue.known() == [])
    assert catalogue.find("m") is None


def test_a_model_that_hal0_deleted_is_forgotten_at_once(catalogue: Catalogue, lemond: FakeLemond) -> None:
    catalogue.models()
    del lemond.rows["m"]
    catalogue.forget("m")
    assert catalogue.known() == []
    assert catalogue.find("m") is None


# -- a lemond that hangs


@pytest.fixture
def hanging(catalogue: Catalogue, lemond: FakeLemond, clock: HandClock) -> Iterator[threading.Event]:
    """The list is old, and lemond takes a question and says nothing until the event is set."""
    catalogue.models()
    clock.pass_s(KEEP_S + 1)
    catalogue._patience_s = catalogue._find_s = 0.05
    answers = threading.Event()
    lemond.pause = answers
    yield answers
    answers.set()


def test_a_known_model_and_the_list_never_wait_for_a_lemond_that_hangs(
    catalogue: Catalogue, lemond: FakeLemond, hanging: threading.Event
) -> None:
    for _ in range(20):
        assert catalogue.find("m") is not None
        assert [one.id for one in catalogue.models()] == ["m"]
    eventually(lambda: lemond.asked == ["*", "*"])


def test_however_many_unknown_names_come_a_lemond_that_hangs_is_asked_one_question(
    catalogue: Catalogue, lemond: FakeLemond, hanging: threading.Event
) -> None:
    asking = [Asking(partial(catalogue.find, f"unknown-{n}")) for n in range(20)]
    for one in asking:
        with pytest.raises(errors.LemonadeError) as problem:
            one.result()
        assert (problem.value.code, problem.value.retry_after) == ("lemonade.unavailable", 5)
    assert lemond.asked == ["*", "*"]
    hanging.set()
    catalogue._find_s = 20.0
    assert catalogue.find("unknown-1") is None
    assert lemond.asked == ["*", "*", "unknown-1"]


def test_whether_a_model_exists_cannot_be_told_while_lemond_is_away(catalogue: Catalogue, lemond: FakeLemond) -> None:
    lemond.link = Link.DOWN
    with pytest.raises(errors.LemonadeError):
        catalogue.find("m")


def test_backends_are_read_once_unless_lemond_did_not_tell(catalogue: Catalogue, lemond: FakeLemond) -> None:
    lemond.backends = errors.error("lemonade.unavailable", "away")
    assert catalogue.installed_backends("llamacpp") == frozenset()
    lemond.backends = frozenset({"cpu"})
    assert catalogue.installed_backends("llamacpp") == {"cpu"}
    lemond.backends = frozenset({"cpu", "vulkan"})
    assert catalogue.installed_backends("llamacpp") == {"cpu"}
    catalogue.forget()
    assert catalogue.installed_backends("llamacpp") == {"cpu", "vulkan"}


# -- a folder of slots that is gone

GONE = FileNotFoundError(2, "No such file or directory", "/etc/hal0/slots")


def test_a_folder_that_is_gone_forgets_nothing_and_is_told_once() -> None:
    house = House(slot("primary", "m"))
    house.lemond.put("m")
    house.observer.step()
    house.folder.problem = GONE
    for _ in range(3):
        told = house.observer.step()
    assert [one.name for one in told.slots] == ["primary"]
    assert told.record("primary").state == "ready"
    assert told.problem is not None
    assert "No such file or directory: '/etc/hal0/slots'" in told.problem
    assert [one.kind for one in house.store.told("system.slots")] == ["system.slots"]
    assert [one["kind"] for one in house.store.findings()] == ["system.slots"]
    assert set(house.store.recorded.records) == {"primary"}
    house.folder.problem = None
    assert house.observer.step().problem is None
    assert house.store.findings() == []


def test_a_start_without_the_folder_knows_no_slot_and_forgets_none() -> None:
    house = House(slot("primary", "m"))
    house.observer.step()
    again = Observer(house.lemond, house.folder, house.store, house.clock)
    house.folder.problem = GONE
    told = again.step()
    assert told.slots == ()
    assert set(house.store.recorded.records) == {"primary"}


@pytest.mark.parametrize("act", ["create", "change", "replace", "delete", "swap"])
def test_nothing_is_written_into_a_folder_that_cannot_be_read(act: str) -> None:
    house = House(slot("mine", "m"))
    house.observer.step()
    house.folder.problem = PermissionError(13, "Permission denied", "/etc/hal0/slots")
    before = dict(house.folder.definitions)
    acts: dict[str, Any] = {
        "create": lambda: house.slots.create({"name": "new", "type": "llm"}),
        "change": lambda: house.slots.change("mine", {"priority": 1}, None),
        "replace": lambda: house.slots.replace("mine", {"type": "llm"}, None, None),
        "delete": lambda: house.slots.delete("mine", None),
        "swap": lambda: house.slots.swap("mine", "n", "ann"),
    }
    with pytest.raises(errors.Hal0Error, match="Permission denied") as problem:
        acts[act]()
    assert problem.value.code == "system.slots_unreadable"
    assert house.folder.definitions == before


# -- drift


class Drift:
    """One home and what `hal0 drift` finds in it."""

    def __init__(self, *slots: Any) -> None:
        self.clock = HandClock()
        self.lemond, self.store = FakeLemond(self.clock, [{"id": "m"}]), MemoryStates()
        self.folder, self.want = Folder(*slots or (slot(),)), {}
        self.looks = 0
        look = self.lemond.look

        def counted() -> Any:
            self.looks += 1
            return look()

        self.lemond.look = counted  # type: ignore[method-assign]

    def run(self, after_s: float = 10) -> Report:
        self.clock.pass_s(after_s)
        return check(self.lemond, self.folder, self.store, self.clock, self.want)


def test_a_run_that_finds_nothing_is_clean() -> None:
    drift = Drift()
    assert drift.run().exit_code == CLEAN
    assert drift.run().exit_code == CLEAN


def test_an_eviction_is_news_once() -> None:
    drift = Drift()
    drift.lemond.put("m")
    drift.run()
    drift.lemond.drop("m")
    told = drift.run()
    assert (told.exit_code, [one.source for one in told.entries]) == (NEWS, ["drift"])
    assert drift.run().exit_code == CLEAN


def test_a_lemond_that_is_down_cannot_be_observed() -> None:
    drift = Drift()
    drift.lemond.link = Link.DOWN
    assert (drift.run().exit_code, drift.run().exit_code) == (BLIND, BLIND)
    assert [one.kind for one in drift.store.entries] == ["system.lemond_down"]


def test_drift_forgets_no_slot_while_their_folder_is_gone() -> None:
    drift = Drift()
    drift.run()
    drift.folder.problem = GONE
    told = drift.run()
    assert (told.exit_code, [one.kind for one in told.entries]) == (NEWS, ["system.slots"])
    assert drift.run().exit_code == CLEAN
    assert set(drift.store.recorded.records) == {"primary"}


def test_a_download_explains_no_silence() -> None:
    drift = Drift()
    drift.lemond.link = Link.BUSY
    drift.store.save_operation(operation("pull", "m", 1010))
    assert drift.run().exit_code == BLIND


def test_a_silence_is_explained_by_an_operation_under_way() -> None:
    drift = Drift()
    drift.lemond.link = Link.BUSY
    running: Operation = operation("load", "m", 1010)
    drift.store.save_operation(running)
    assert drift.run().exit_code == CLEAN or drift.run(1).explained
    drift.store.operations.clear()
    assert drift.run().exit_code == BLIND


@pytest.mark.parametrize("link", [Link.BUSY, Link.SILENT])
def test_a_silent_lemond_is_asked_after_ever_longer_pauses(link: Link) -> None:
    drift = Drift()
    drift.lemond.link = link
    for _ in range(61):
        drift.run()
    assert 4 <= drift.looks <= 12


@pytest.mark.parametrize("silent_s", [10, 20, 29.9, 40, 80, 160, 300, 600, 909])
def test_a_retry_is_due(silent_s: float) -> None:
    assert due(silent_s)


@pytest.mark.parametrize("silent_s", [30, 50, 79.9, 100, 200, 290, 350, 599])
def test_no_retry_is_due(silent_s: float) -> None:
    assert not due(silent_s)


def test_a_configuration_that_is_not_the_wanted_one_is_found() -> None:
    drift = Drift()
    drift.want = {"max_loaded_models": 8}
    drift.lemond.wanted_config = {"max_loaded_models": 1}
    told = drift.run()
    assert told.exit_code == NEWS
    assert told.entries[-1].message == "lemond has max_loaded_models = 1, hal0.toml wants 8"


@pytest.mark.parametrize("config", [None, {"max_loaded_models": 8, "more": 1}], ids=["not-told", "as-wanted"])
def test_a_configuration_that_is_as_wanted_or_not_told_is_no_drift(config: Any) -> None:
    drift = Drift()
    drift.want, drift.lemond.wanted_config = {"max_loaded_models": 8}, config
    assert drift.run().exit_code == CLEAN
