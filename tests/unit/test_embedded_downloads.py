"""Downloads that only count: what a pull looks like on the way, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hal0app.embedded import simulated_downloads
from hal0app.embedded.errors import EngineError
from hal0app.embedded.http import Request
from hal0app.embedded.simulated_downloads import DEFAULTS, SimulatedDownloads

FACTS = {**DEFAULTS, "total": 1000, "rate": 100}


class Desk:
    """The downloads at a time that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.downloads = 0.0, SimulatedDownloads()
        monkeypatch.setattr(simulated_downloads.time, "monotonic", lambda: self.now)

    def ask(self, method: str, path: str, body: Any = None, **facts: Any) -> Any:
        request = Request(method, path, {}, {}, json.dumps(body).encode() if body else b"")
        answer = self.downloads.answer(request, {**FACTS, **facts})
        return answer and json.loads(answer.body)

    def row(self, **facts: Any) -> tuple[str, int]:
        (row,) = self.ask("GET", "/v1/downloads", **facts)
        return row["status"], row["overall_bytes_downloaded"]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(monkeypatch)
    assert desk.ask("POST", "/api/v1/pull", {"model_name": "m"})["running"]
    return desk


def test_a_pull_grows_and_ends(desk: Desk) -> None:
    desk.now = 3.0
    assert desk.row() == ("downloading", 300)
    desk.now = 30.0
    assert desk.row() == ("completed", 1000)


def test_a_pause_keeps_what_is_there_and_a_pull_goes_on(desk: Desk) -> None:
    desk.now = 4.0
    desk.ask("POST", "/v1/downloads/control", {"id": "model:m", "action": "pause"})
    desk.now = 100.0
    assert desk.row() == ("paused", 400)
    desk.ask("POST", "/v1/pull", {"model_name": "m"})
    desk.now = 101.0
    assert desk.row() == ("downloading", 500)


def test_it_stands_still_or_fails_where_it_is_told_to(desk: Desk) -> None:
    desk.now = 5.0
    assert desk.row(rate=0) == ("downloading", 0)
    desk.now = 15.0
    assert desk.row(fail_at=600) == ("error", 600)


def test_one_that_is_cancelled_keeps_its_part_until_that_is_deleted(desk: Desk) -> None:
    desk.now = 5.0
    desk.ask("POST", "/v1/downloads/control", {"id": "model:m", "action": "cancel"})
    assert desk.row() == ("cancelled", 500)
    assert desk.ask("POST", "/v1/delete", {"model_name": "m"})["status"] == "success"
    assert desk.row() == ("cancelled", 0)
    assert desk.ask("POST", "/v1/delete", {"model_name": "other"}) is None
    desk.ask("POST", "/v1/downloads/control", {"id": "model:m", "action": "remove"})
    assert desk.ask("GET", "/v1/downloads") == []
    with pytest.raises(EngineError):
        desk.ask("POST", "/v1/downloads/control", {"id": "model:m", "action": "pause"})


def test_without_the_fault_and_elsewhere_it_says_nothing(desk: Desk) -> None:
    assert desk.ask("GET", "/v1/models") is None
    assert desk.downloads.answer(Request("GET", "/v1/downloads", {}, {}, b""), None) is None
