"""What Lemonade has, looked at in the background."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.download import Download
from hal0app.core.model import Model
from hal0app.services.models import ModelView
from hal0app.services.observer import Snapshot
from hal0app.services.stock import Stock
from tests.support.waiting import eventually
from tests.unit.fakes import HandClock, seen


class Lemonade:
    """Models, downloads and backends at once."""

    def __init__(self) -> None:
        self.rows: list[Download] = []
        self.problem = ""
        self.looks = 0

    def all(self) -> list[Any]:
        if self.problem:
            raise errors.error("lemonade.unavailable", self.problem)
        self.looks += 1
        return list(self.rows)


class Shelf(Lemonade):
    def all(self) -> list[Any]:
        return [ModelView(Model("m"))]

    def offered(self) -> list[Model]:
        return [Model("n", downloaded=False)]


class Kinds(Lemonade):
    def all(self) -> list[Any]:
        self.looks += 1
        return [{"id": "a:b"}]


def stock() -> tuple[Stock, Lemonade, Kinds, HandClock]:
    downloads, kinds, clock = Lemonade(), Kinds(), HandClock()
    return Stock(Shelf(), downloads, kinds, clock), downloads, kinds, clock  # type: ignore[arg-type]


def test_a_look_finds_everything_and_asks_seldom_for_what_changes_seldom() -> None:
    it, _, kinds, clock = stock()
    it.look()
    it.look()
    seen = it.shelves()
    assert [one.model.id for one in seen.models] == ["m"]
    assert [one.id for one in seen.offered] == ["n"]
    assert (seen.taken, kinds.looks) == (clock().wall, 1)


def test_a_lemonade_that_is_silent_leaves_what_was_known_with_the_reason() -> None:
    it, downloads, _, _ = stock()
    it.look()
    downloads.problem = "Lemonade does not answer"
    it.look()
    assert [one.model.id for one in it.shelves().models] == ["m"]
    assert it.shelves().problem == "Lemonade does not answer"


def test_speed_is_counted_from_look_to_look_and_anew_after_a_pause() -> None:
    it, downloads, _, clock = stock()
    for done in (100, 200, 300):
        downloads.rows = [Download("model:m", running=True, done_bytes=done, total_bytes=1000)]
        it.look()
        clock.pass_s(1)
    assert it.shelves().downloads[0].progress.rate == 100
    downloads.rows = [Download("model:m", "paused", done_bytes=300, total_bytes=1000)]
    it.look()
    clock.pass_s(100)
    downloads.rows = [Download("model:m", running=True, done_bytes=300, total_bytes=1000)]
    it.look()
    assert it.shelves().downloads[0].progress.rate is None


def test_backends_are_asked_again_when_a_download_ended() -> None:
    it, downloads, kinds, _ = stock()
    downloads.rows = [Download("backend:a:b", running=True)]
    it.look()
    downloads.rows = []
    it.look()
    assert kinds.looks == 2


def test_listeners_hear_only_of_changes() -> None:
    it, downloads, _, clock = stock()
    heard: list[int] = []
    it.subscribe(lambda: heard.append(1))
    it.look()
    clock.pass_s(1)
    it.look()
    assert len(heard) == 1
    downloads.problem = "gone"
    it.look()
    assert len(heard) == 2


def test_nobody_is_asked_while_nobody_is_interested() -> None:
    it, downloads, _, _ = stock()
    worker = threading.Thread(target=it.watch.run, daemon=True)
    worker.start()
    assert downloads.looks == 0
    it.shelves()
    eventually(lambda: downloads.looks, "it looked")
    it.watch.stop()
    worker.join(10)
    assert not worker.is_alive()


def test_another_residency_is_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hal0app.services.stock.QUIET_PERIOD_S", 600.0)
    it, downloads, _, clock = stock()
    worker = threading.Thread(target=it.watch.run, daemon=True)
    worker.start()
    it.shelves()
    eventually(lambda: downloads.looks, "it looked")
    looks = downloads.looks
    it.observed(Snapshot(residency=seen(clock().tick, "m")))
    eventually(lambda: downloads.looks > looks, "it looked again")
    it.watch.stop()
    worker.join(10)
