"""Looking while somebody is interested."""

from __future__ import annotations

import threading

from hal0app.services.interest import LASTING_S, Interest
from tests.support.waiting import eventually
from tests.unit.fakes import HandClock


def test_a_look_that_fails_is_told_and_the_next_one_comes() -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("not now")

    it = Interest(HandClock(), look, lambda: 0.001)
    worker = threading.Thread(target=it.run, daemon=True)
    worker.start()
    it.show()
    eventually(lambda: len(looks) > 2, "it went on")
    it.stop()
    worker.join(10)
    assert not worker.is_alive()


def test_interest_ends_a_while_after_it_was_shown() -> None:
    clock = HandClock()
    it = Interest(clock, lambda: None, lambda: 1.0)
    assert not it.there
    it.show()
    clock.pass_s(LASTING_S)
    assert it.there
    clock.pass_s(0.1)
    assert not it.there
