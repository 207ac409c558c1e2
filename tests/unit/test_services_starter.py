"""Starting Lemonade for a person."""

from __future__ import annotations

import pytest

from hal0app.core.watchdog import Unit
from hal0app.errors import Hal0Error
from hal0app.services.starter import KIND, Starter
from tests.unit.fakes import HandClock, MemoryStates

HERE = "http://127.0.0.1:13305"


class Units:
    def __init__(self, name: str = "lemond.service", problem: str = "") -> None:
        self.name, self.problem, self.restarted = name, problem, 0

    def unit(self) -> Unit:
        return Unit(self.name, "inactive" if self.name else "")

    def restart(self, unit: Unit) -> str:
        self.restarted += 1
        return self.problem


def test_the_unit_is_started_and_the_journal_says_who_wanted_it() -> None:
    units, store = Units(), MemoryStates()
    Starter(units, store, HandClock(), HERE).start("ann")
    (told,) = store.told(KIND)
    assert (units.restarted, told.message, told.level, told.agent) == (
        1,
        "lemond.service is being started",
        "info",
        "ann",
    )


@pytest.mark.parametrize(
    ("units", "url", "words"),
    [
        (Units(problem="Access denied"), HERE, "Access denied. Type: sudo systemctl restart lemond.service"),
        (Units(name=""), "http://localhost:13305", "systemd does not run Lemonade on this machine"),
        (Units(), "http://halo.lan:13305", "another machine, at http://halo.lan:13305. Start it there"),
    ],
    ids=["refused", "no-unit", "elsewhere"],
)
def test_where_it_cannot_be_started_one_is_told_what_to_do(units: Units, url: str, words: str) -> None:
    with pytest.raises(Hal0Error, match=words.replace(".", "[.]")) as problem:
        Starter(units, MemoryStates(), HandClock(), url).start("ann")
    assert problem.value.code == "lemonade.not_started"
    assert units.restarted == bool(units.problem)
