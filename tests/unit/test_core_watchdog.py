"""When lemond counts as hung, and when it may be restarted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hal0app.core import watchdog
from hal0app.core.reconcile import Recorded
from hal0app.core.residency import Link
from hal0app.core.settings import WatchdogSection
from hal0app.core.watchdog import Facts, Sign, Unit, Verdict, Watch
from tests.unit.fakes import at

URL = "http://127.0.0.1:13305"
RULES = WatchdogSection()
LIMIT_S = watchdog.GLOBAL_TIMEOUT_S
UP = Recorded(link=Link.UP)


def busy(since: float) -> Recorded:
    """lemond was silent since this tick, says the record."""
    return Recorded(link=Link.BUSY, link_since=at(since).wall)


def watch(**facts: Any) -> Watch:
    return Watch(**{"url": URL, **facts})


def verdict(known: Watch, tick: float = 10_000.0, url: str = URL, operating: bool = False) -> Verdict:
    return watchdog.judge(Facts(known, url, RULES, tick, operating))


SILENT = watch(silent_since=10_000.0 - LIMIT_S - 1)
DEAD = watch(live_failures=3, silent_since=9_970.0)


@pytest.mark.parametrize(
    ("case", "known", "more", "expected"),
    [
        ("never silent", watch(), {}, Verdict.WELL),
        ("two failures of /live", watch(live_failures=2, silent_since=9_980.0), {}, Verdict.WELL),
        ("three failures of /live", DEAD, {}, Verdict.HUNG),
        ("three failures while hal0 loads", DEAD, {"operating": True}, Verdict.HUNG),
        ("silent for exactly the limit", watch(silent_since=10_000.0 - LIMIT_S), {}, Verdict.WELL),
        ("silent for longer", SILENT, {}, Verdict.HUNG),
        ("silent for longer while hal0 loads", SILENT, {"operating": True}, Verdict.EXPLAINED),
        ("silent for longer, and now /live fails too", replace(SILENT, live_failures=1), {}, Verdict.WELL),
        ("silent, but lemond waits for an hour", replace(SILENT, limit_s=3600.0), {}, Verdict.WELL),
        ("dead, never heard", replace(DEAD, url=""), {}, Verdict.FOREIGN),
        ("dead, heard at another port", DEAD, {"url": "http://127.0.0.1:13306"}, Verdict.FOREIGN),
        ("dead, on another machine", replace(DEAD, url="http://box:1"), {"url": "http://box:1"}, Verdict.FOREIGN),
        ("dead, at localhost", replace(DEAD, url="http://localhost:1"), {"url": "http://localhost:1"}, Verdict.HUNG),
        ("dead, at ::1", replace(DEAD, url="http://[::1]:1"), {"url": "http://[::1]:1"}, Verdict.HUNG),
        ("dead, considered 59 s ago", replace(DEAD, asked_at=9_941.0), {}, Verdict.RESTING),
        ("dead, considered 60 s ago", replace(DEAD, asked_at=9_940.0), {}, Verdict.HUNG),
        ("silent, restarted twice, 119 s ago", replace(SILENT, asked_at=9_881.0, restarts=2), {}, Verdict.RESTING),
        ("silent, restarted twice, 120 s ago", replace(SILENT, asked_at=9_880.0, restarts=2), {}, Verdict.HUNG),
    ],
)
def test_lemond_is_restarted_only_when_nothing_else_explains_it(
    case: str, known: Watch, more: dict[str, Any], expected: Verdict
) -> None:
    assert verdict(known, **more) is expected, case


@pytest.mark.parametrize(
    ("restarts", "pause_s"), [(0, 60), (1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (50, 3600), (10**6, 3600)]
)
def test_the_pause_doubles_up_to_an_hour(restarts: int, pause_s: float) -> None:
    assert watchdog.pause_s(watch(restarts=restarts), RULES) == pause_s


def test_a_live_that_does_not_answer_in_time_counts_like_one_that_is_refused() -> None:
    known = watch()
    for tick in (9_970.0, 9_980.0, 9_990.0):
        known = watchdog.advance(known, URL, UP, Link.SILENT, at(tick))
    assert known.live_failures == 3
    assert watchdog.sign(known, RULES, 10_000.0) is Sign.LIVE


def looks(known: Watch, *links: tuple[float, Link], before: Recorded = UP) -> Watch:
    """The watch after looks at these ticks; what was recorded stays as it was before them."""
    for tick, link in links:
        known = watchdog.advance(known, URL, before, link, at(tick))
    return known


def test_failures_of_live_count_only_in_a_row() -> None:
    down = looks(watch(), (10, Link.DOWN), (20, Link.DOWN))
    assert down.live_failures == 2
    assert looks(down, (30, Link.BUSY)).live_failures == 0
    assert looks(down, (30, Link.UP)).live_failures == 0
    assert looks(down, (30, Link.DOWN)).live_failures == 3


def test_silence_is_counted_from_its_first_look() -> None:
    first = looks(watch(), (10, Link.BUSY))
    later = looks(first, (20, Link.BUSY), (30, Link.DOWN), before=busy(5.0))
    assert (first.silent_since, later.silent_since) == (10, 10)


def test_health_that_another_process_heard_ends_a_silence() -> None:
    silent = looks(watch(), (10, Link.BUSY))
    assert looks(silent, (700, Link.BUSY), before=UP).silent_since == 700
    assert looks(silent, (700, Link.BUSY), before=busy(650.0)).silent_since == 650


def test_a_step_of_the_clock_makes_no_silence_longer() -> None:
    silent = looks(watch(), (10, Link.BUSY))
    ahead, behind = busy(-86_400.0), busy(86_400.0)
    assert looks(silent, (700, Link.BUSY), before=ahead).silent_since == 10
    assert looks(silent, (700, Link.BUSY), before=behind).silent_since == 700


def test_one_answer_ends_a_silence_and_says_where_lemond_is() -> None:
    heard = looks(Watch(answering=("a",), silent_since=1.0), (10, Link.UP))
    assert heard == Watch(url=URL)


def test_restarts_are_forgotten_after_an_hour_of_health() -> None:
    restarted = watchdog.restarted(DEAD, 0.0)
    well = looks(restarted, (10, Link.UP), (2000, Link.BUSY), (2010, Link.UP))
    assert looks(well, (3609, Link.UP)).restarts == 1
    assert looks(well, (3610, Link.UP)).restarts == 0
    assert looks(well, (3000, Link.DOWN), (3010, Link.UP), (3610, Link.UP)).restarts == 1


def test_a_restart_starts_the_count_anew() -> None:
    after = watchdog.restarted(replace(DEAD, restarts=1, answering=()), 50.0)
    assert after == watch(asked_at=50.0, restarts=2)


def test_only_answers_that_ran_already_explain_a_silence() -> None:
    first = watchdog.still_answering(SILENT, frozenset({"a", "b"}))
    assert first.answering == ("a", "b")
    second = watchdog.still_answering(first, frozenset({"b", "c"}))
    assert second.answering == ("b",)
    assert watchdog.still_answering(second, frozenset({"c"})).answering == ()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"global_timeout": 1200}, 1200.0),
        ({"global_timeout": 0}, 77.0),
        ({"global_timeout": "long"}, 77.0),
        ({}, 77.0),
        (None, 77.0),
    ],
)
def test_the_limit_is_what_lemond_said_last(config: dict[str, Any] | None, expected: float) -> None:
    assert watchdog.limit(config, 77.0) == expected


@pytest.mark.parametrize(
    ("state", "running"),
    [
        ("active", True),
        ("activating", True),
        ("inactive", False),
        ("failed", False),
        ("deactivating", False),
        ("", False),
    ],
)
def test_a_unit_that_somebody_stopped_is_not_ours_to_start(state: str, running: bool) -> None:
    assert Unit("lemond.service", state).running is running


def test_after_a_reboot_only_what_has_no_tick_is_kept() -> None:
    known = replace(DEAD, limit_s=5.0, told=True, restarts=3, asked_at=9.0)
    assert watchdog.after_reboot(known) == Watch(url=URL, limit_s=5.0, told=True)


def test_the_words_for_a_hang_say_how_it_shows() -> None:
    assert watchdog.describe(Sign.LIVE, DEAD, RULES) == "lemond hangs: /live failed 3 times in a row"
    assert "for more than 600 s" in watchdog.describe(Sign.HEALTH, SILENT, RULES)
