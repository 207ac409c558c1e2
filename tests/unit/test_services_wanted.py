"""After a restart of lemond its configuration is made what hal0.toml wants; at other times it is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.config_drift import differences, restated
from hal0app.core.reconcile import Recorded
from hal0app.core.residency import Link
from hal0app.services.wanted import Wanted
from tests.unit.fakes import HandClock, MemoryStates, seen

WANT = {"max_loaded_models": 8, "llamacpp": {"args": "--parallel 1"}}


class Lemond:
    """A configuration that can be read and set, or refuses to be."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"max_loaded_models": 1, "llamacpp": {"args": "--parallel 1", "backend": "x"}}
        self.problem: Exception | None = None
        self.set: list[dict[str, Any]] = []

    def config(self) -> dict[str, Any]:
        if self.problem is not None:
            raise self.problem
        return self.values

    def set_config(self, changes: Mapping[str, Any]) -> None:
        self.set.append(dict(changes))
        self.values = {**self.values, **changes}


@pytest.fixture
def lemond() -> Lemond:
    return Lemond()


@pytest.fixture
def store() -> MemoryStates:
    return MemoryStates()


def wanted(lemond: Lemond, store: MemoryStates, want: Mapping[str, Any] = WANT) -> Wanted:
    return Wanted(lemond, store, HandClock(), want)


def test_after_another_boot_what_differs_is_set_again_once(lemond: Lemond, store: MemoryStates) -> None:
    keeping = wanted(lemond, store)
    for boot in ("one", "two", "two"):
        keeping.notice(seen(1, boot=boot))
        keeping.put_right()
    assert lemond.set == [{"max_loaded_models": 8}]
    (told,) = store.told("config.drift")
    assert told.message == "after its restart lemond had max_loaded_models = 1, set to 8 again"
    assert told.data == {"reapplied": {"max_loaded_models": 8}}


def test_refused_connections_and_then_an_answer_are_a_restart(lemond: Lemond, store: MemoryStates) -> None:
    keeping = wanted(lemond, store)
    for link in (Link.UP, Link.DOWN, Link.BUSY):
        keeping.notice(seen(1, link=link))
        keeping.put_right()
    assert lemond.set == []
    keeping.notice(seen(2))
    keeping.put_right()
    assert lemond.set == [{"max_loaded_models": 8}]


def test_silence_is_no_restart(lemond: Lemond, store: MemoryStates) -> None:
    keeping = wanted(lemond, store)
    for link in (Link.UP, Link.BUSY, Link.SILENT, Link.BUSY, Link.UP):
        keeping.notice(seen(1, link=link, boot="one"))
        keeping.put_right()
    assert lemond.set == []


@pytest.mark.parametrize(
    "recorded",
    [Recorded(link=Link.DOWN), Recorded(residency=seen(0, boot="one"))],
    ids=["it was down", "it was another boot"],
)
def test_a_restart_while_hal0_was_down_counts(lemond: Lemond, store: MemoryStates, recorded: Recorded) -> None:
    store.recorded = recorded
    keeping = wanted(lemond, store)
    keeping.notice(seen(1, boot="two"))
    keeping.put_right()
    assert lemond.set == [{"max_loaded_models": 8}]


def test_a_lemond_that_is_seen_for_the_first_time_was_not_restarted(lemond: Lemond, store: MemoryStates) -> None:
    keeping = wanted(lemond, store)
    keeping.notice(seen(1, boot="one"))
    keeping.put_right()
    assert lemond.set == []


def test_nothing_is_asked_where_nothing_is_wanted_and_nothing_set_where_nothing_differs(
    lemond: Lemond, store: MemoryStates
) -> None:
    store.recorded = Recorded(link=Link.DOWN)
    for want, problem in (({"llamacpp": {"args": "--parallel 1"}}, None), ({}, AssertionError("asked"))):
        lemond.problem = problem
        keeping = wanted(lemond, store, want)
        keeping.notice(seen(1))
        keeping.put_right()
    assert (lemond.set, store.entries) == ([], [])


def test_a_lemond_that_does_not_answer_is_asked_again(lemond: Lemond, store: MemoryStates) -> None:
    store.recorded = Recorded(link=Link.DOWN)
    lemond.problem = errors.error("lemonade.unavailable", "no")
    keeping = wanted(lemond, store)
    keeping.notice(seen(1))
    keeping.put_right()
    lemond.problem = None
    keeping.put_right()
    assert (lemond.set, len(store.entries)) == ([{"max_loaded_models": 8}], 1)


def test_what_lemond_refuses_is_told_and_given_up(lemond: Lemond, store: MemoryStates) -> None:
    store.recorded = Recorded(link=Link.DOWN)
    lemond.problem = errors.error("lemonade.refused", "Unknown config key: 'x'")
    keeping = wanted(lemond, store)
    keeping.notice(seen(1))
    for _ in range(2):
        keeping.put_right()
    (told,) = store.told("config.drift")
    assert (told.level, told.message) == (
        "warning",
        "lemond's configuration could not be set again: Unknown config key: 'x'",
    )


def test_wanted_values_are_restated_nested() -> None:
    found = differences({"a": 1, "b": {"c": 2, "d": {"e": 3}}}, {"a": 1, "b": {"c": 0}})
    assert restated(found) == {"b": {"c": 2, "d": {"e": 3}}}
