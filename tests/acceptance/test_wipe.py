"""A bad model that is loaded behind hal0's back wipes everything; hal0 brings it back, and says what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests

from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "pinned": True, "priority": 90},
    "embed": {"type": "embedding", "model": "embed-a"},
    "rerank": {"type": "reranking", "model": "rerank-a", "pinned": True},
}
HOLDING = {"chat-a": True, "embed-a": False, "rerank-a": True}


@pytest.fixture(scope="module")
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=2) as engine:
        yield engine


@pytest.fixture
def app(tiny: Engine) -> Iterator[App]:
    with hal0(tiny.url, SLOTS) as running:
        for name in SLOTS:
            assert running.post(f"/api/slots/{name}/load?wait=true").status_code == 200
        yield running


def test_a_broken_model_is_refused_by_hal0_and_nobody_is_evicted(app: App, tiny: Engine) -> None:
    made = app.post("/api/slots", {"name": "bad", "type": "llm", "model": "broken"})
    assert made.status_code == 201, made.text

    refused = app.post("/api/slots/bad/load?wait=true")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model.corrupt"), refused.text
    assert app.slot_is("bad", "error", "refused")
    assert pins(tiny) == HOLDING
    assert {app.slot(name)["evictions"] for name in SLOTS} == {0}
    assert app.journal(kind="evict.nuclear") == []


def pins(engine: Engine) -> dict[str, bool]:
    return {name: entry["pinned"] for name, entry in engine.residents().items()}


def test_after_a_wipe_every_slot_is_back_with_its_pin_and_the_journal_tells(app: App, tiny: Engine) -> None:
    failed = requests.post(f"{tiny.url}/v1/load", json={"model_name": "broken"}, timeout=120)
    assert failed.status_code == 500

    eventually(lambda: pins(tiny) == HOLDING, "everybody is back")
    for name in SLOTS:
        assert app.slot_is(name, "ready")["evictions"] == 1

    told = app.wait_for(lambda: app.journal(kind="evict.nuclear"), "the journal tells of the wipe")
    assert len(told) == 1
    data = told[0]["data"]
    assert set(data["victims"]) == set(HOLDING)
    assert (data["restored"], data["failed"]) == (["primary", "embed", "rerank"], [])
    assert data["trigger"] == "broken"
    assert "failed to start" in data["cause"]


def quarantine(app: App, model: str) -> dict[str, object] | None:
    return next((one["quarantine"] for one in app.get("/api/models").json() if one["id"] == model), None)


def test_a_broken_model_without_a_slot_wipes_once_and_is_then_refused(app: App, tiny: Engine) -> None:
    first = app.chat("unloadable")
    assert (first.status_code, first.json()["error"]["code"]) == (502, "model.load_failed")
    app.wait_for(lambda: app.journal(kind="evict.nuclear"), "the wipe is dealt with")
    eventually(lambda: pins(tiny) == HOLDING, "everybody is back")

    second = app.chat("unloadable")
    assert (second.status_code, second.json()["error"]["code"]) == (409, "model.quarantined"), second.text
    assert 0 < int(second.headers["Retry-After"]) <= 60
    assert "POST /api/models/unloadable/clear" in second.json()["error"]["message"]
    assert pins(tiny) == HOLDING
    assert {app.slot_is(name, "ready")["evictions"] for name in SLOTS} == {1}
    assert len(app.journal(kind="evict.nuclear")) == 1
    known = quarantine(app, "unloadable")
    assert known is not None
    assert known["failures"] == 1

    assert app.post("/api/models/unloadable/clear").status_code == 204
    assert quarantine(app, "unloadable") is None
    assert app.chat("unloadable").json()["error"]["code"] == "model.load_failed"
    eventually(lambda: len(app.journal(kind="evict.nuclear")) == 2, "the second wipe is dealt with")
    eventually(lambda: pins(tiny) == HOLDING, "everybody is back")


def test_what_somebody_else_could_not_load_is_not_tried_by_hal0(app: App, tiny: Engine) -> None:
    failed = requests.post(f"{tiny.url}/v1/load", json={"model_name": "unloadable"}, timeout=120)
    assert failed.status_code == 500
    app.wait_for(lambda: quarantine(app, "unloadable"), "the log told of it")
    app.wait_for(lambda: app.journal(kind="evict.nuclear"), "the wipe is dealt with")

    refused = app.chat("unloadable")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model.quarantined"), refused.text
    assert pins(tiny) == HOLDING
    assert len(app.journal(kind="evict.nuclear")) == 1


def test_somebody_who_unloads_everything_is_obeyed(app: App, tiny: Engine) -> None:
    requests.post(f"{tiny.url}/v1/unload", json={}, timeout=120).raise_for_status()
    for name in SLOTS:
        assert app.slot_is(name, "offline", "evicted")["evictions"] == 1
    assert app.journal(kind="evict.nuclear") == []
    assert app.chat("primary").status_code == 200
