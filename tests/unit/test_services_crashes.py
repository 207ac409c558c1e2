"""Crashes are counted once each, however many requests see them."""

from __future__ import annotations

import pytest

from hal0app.core.operation import Evidence
from hal0app.core.residency import Resident
from hal0app.core.settings import CrashLoop
from hal0app.services.crashes import Crashes
from tests.unit.fakes import House, slot


@pytest.fixture
def house() -> House:
    return House(slot("primary", "m"))


def loading(pid: int) -> Resident:
    return Resident("m", backend_url="http://127.0.0.1:8001/v1", pid=pid)


def latched(house: House) -> list[Evidence]:
    return [one for one in house.store.past(house.clock()).evidence if one.kind == "crash_loop"]


def test_one_crash_that_many_requests_see_is_one_crash(house: House) -> None:
    crashes = Crashes(house.store, house.clock, CrashLoop(), list)
    for _ in range(20):
        crashes.note(loading(1), slot(), "reset")
    assert latched(house) == []


def test_more_crashes_than_allowed_latch_the_slot(house: House) -> None:
    crashes = Crashes(house.store, house.clock, CrashLoop(crashes=3), lambda: ["exit 1"])
    for pid in range(1, 5):
        crashes.note(loading(pid), slot(), "reset")
    assert [one.data["count"] for one in latched(house)] == [4]


def test_a_crash_after_an_answer_is_not_counted(house: House) -> None:
    crashes = Crashes(house.store, house.clock, CrashLoop(crashes=1), list)
    for pid in range(1, 6):
        crashes.answered(loading(pid))
        crashes.note(loading(pid), slot(), "reset")
    assert latched(house) == []
