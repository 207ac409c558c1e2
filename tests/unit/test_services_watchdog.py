"""The watchdog at work, over a memory, a systemd and a store that are in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from hal0app.core.reconcile import Recorded
from hal0app.core.residency import Link, Observation, Resident
from hal0app.core.settings import WatchdogSection
from hal0app.core.watchdog import Sight, Unit, Watch
from hal0app.services.drift import check
from hal0app.services.watchdog import Watchdog
from tests.unit.fakes import FakeLemond, Folder, HandClock, MemoryStates, operation, resident, seen

URL = "http://127.0.0.1:13305"
ACTIVE = Unit("lemond.service", "active")
HELD = Recorded(residency=seen(0.0, resident("a")), link=Link.BUSY)


class CountedLemond(FakeLemond):
    """Counts how often its health was asked for."""

    looks = 0

    def look(self) -> Observation:
        self.looks += 1
        return super().look()


@dataclass
class Host:
    """A host with lemond's unit, the generations that run on it, and what the watchdog remembers."""

    unit_: Unit = ACTIVE
    problem: str = ""
    answers: set[str] = field(default_factory=set)
    watch: Watch = field(default_factory=Watch)
    asked: int = 0
    restarts: int = 0
    clock: HandClock = field(default_factory=HandClock)
    store: MemoryStates = field(default_factory=MemoryStates)

    def get(self) -> Watch:
        return self.watch

    def put(self, watch: Watch) -> None:
        self.watch = watch

    def unit(self) -> Unit:
        self.asked += 1
        return self.unit_

    def restart(self, unit: Unit) -> str:
        assert self.watch.asked_at == self.clock.tick, "a restart is remembered before it is tried"
        self.restarts += 1
        return self.problem

    def running(self, residents: Iterable[Resident]) -> frozenset[str]:
        assert [one.model for one in residents] == ["a"]
        return frozenset(self.answers)

    @property
    def dog(self) -> Watchdog:
        return Watchdog(self, self, self.running, self.store, WatchdogSection(), URL)

    def look(self, link: Link, after_s: float = 10.0, operating: bool = False) -> list[str]:
        """One run of the checker; the messages of the entries that it returned."""
        self.clock.pass_s(after_s)
        before = Recorded(residency=HELD.residency, link=Link.BUSY, link_since=0.0)
        config = {"global_timeout": 600} if link is Link.UP else None
        sight = Sight(before, seen(self.clock.tick, link=link), config, operating, self.clock())
        return [one.message for one in self.dog.look(sight)]


def hanging(**facts: object) -> Host:
    """A host whose lemond was heard, fell silent, and has been so for 601 s."""
    host = Host(**facts)  # type: ignore[arg-type]
    host.look(Link.UP)
    host.look(Link.BUSY)
    host.clock.pass_s(601.0)
    return host


def test_three_failures_of_live_restart_lemond_and_tell_it() -> None:
    host = Host()
    host.look(Link.UP)
    assert [host.look(Link.DOWN), host.look(Link.DOWN), host.asked] == [[], [], 0]
    told = host.look(Link.DOWN)
    assert host.restarts == 1
    assert told == ["lemond hangs: /live failed 3 times in a row", "lemond.service is restarted: it hung"]
    assert [one.kind for one in host.store.told("lemond.restart")] == ["lemond.restart"]
    assert host.store.told("lemond.restart")[0].data == {
        "sign": "live",
        "unit": "lemond.service",
        "restarts": 1,
        "pause_s": 60.0,
    }


def test_a_silence_that_nothing_explains_restarts_lemond() -> None:
    host = hanging()
    assert host.dog.overdue(host.clock())
    host.look(Link.BUSY, 0.0)
    assert host.restarts == 1


def test_a_silence_is_overdue_also_when_live_failed_a_moment_ago() -> None:
    host = hanging()
    host.look(Link.DOWN, 0.0)
    assert host.dog.overdue(host.clock())


def test_a_silence_during_a_load_of_ours_is_left_alone() -> None:
    host = hanging()
    host.look(Link.BUSY, operating=True)
    assert (host.restarts, host.asked) == (0, 0)
    host.look(Link.BUSY)
    assert host.restarts == 1


def test_a_silence_while_an_old_answer_is_generated_is_left_alone() -> None:
    host = hanging(answers={"old"})
    host.look(Link.BUSY)
    host.answers = {"old", "new"}
    host.look(Link.BUSY, 60.0)
    assert (host.restarts, host.asked) == (0, 0)
    host.answers = {"new"}
    host.look(Link.BUSY, 60.0)
    assert host.restarts == 1


def test_backends_are_asked_only_once_in_a_pause() -> None:
    host = hanging(answers={"old"})
    host.look(Link.BUSY)
    host.answers = set()
    host.look(Link.BUSY)
    assert (host.restarts, host.dog.overdue(host.clock())) == (0, False)


def test_a_lemond_that_somebody_stopped_stays_stopped() -> None:
    host = Host(unit_=Unit("lemond.service", "inactive"))
    host.look(Link.UP)
    told = [host.look(Link.DOWN) for _ in range(4)]
    assert (host.restarts, host.asked, told) == (0, 1, [[]] * 4)


def test_a_hang_is_told_where_systemd_cannot_help() -> None:
    host = hanging(unit_=Unit())
    told = host.look(Link.BUSY)
    assert host.restarts == 0
    assert told == [
        "lemond hangs: no word of its health for more than 600 s, and nothing explains it"
        "; not restarted, for systemd does not run lemond here"
    ]


def test_a_hang_is_over_when_health_answers() -> None:
    host = hanging(unit_=Unit())
    host.look(Link.BUSY)
    assert [one["kind"] for one in host.store.findings()] == ["lemond.hang"]
    host.look(Link.UP)
    assert host.store.findings() == []


def test_a_refused_restart_is_an_error_and_rests_as_well() -> None:
    host = hanging(problem="Interactive authentication required.")
    told = host.look(Link.BUSY, 0.0)
    assert told[-1] == "lemond.service could not be restarted: Interactive authentication required."
    assert host.store.told("lemond.restart")[0].level == "error"
    for _ in range(5):
        host.look(Link.DOWN)
    assert host.restarts == 1
    host.look(Link.DOWN)
    assert host.restarts == 2


def test_nothing_is_written_while_lemond_is_well() -> None:
    host = Host()
    host.look(Link.UP)
    first = host.watch
    host.look(Link.UP)
    assert host.watch is first


@pytest.mark.parametrize(("operating", "looks"), [(False, 1), (True, 0)])
def test_drift_asks_a_silent_lemond_once_more_unless_hal0_works_on_it(operating: bool, looks: int) -> None:
    host = hanging()
    host.store.recorded = Recorded(residency=HELD.residency, link=Link.BUSY, link_since=host.clock().wall - 635.0)
    if operating:
        host.store.save_operation(operation(started=host.clock.tick))
    lemond = CountedLemond(host.clock)
    lemond.link = Link.BUSY
    check(lemond, Folder(), host.store, host.clock, {}, host.dog)
    assert (lemond.looks, host.restarts) == (looks, looks)
