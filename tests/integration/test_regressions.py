"""Sequences that went wrong once, each as short as it can be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.support.app import App, hal0
from tests.support.engines import Engine, embedded_engine
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a"},
    "embed": {"type": "embedding", "model": "embed-a"},
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with embedded_engine(chaos=True) as started:
        yield started


@pytest.fixture
def app(engine: Engine) -> Iterator[App]:
    with hal0(engine.url, SLOTS) as running:
        for name in SLOTS:
            assert running.post(f"/api/slots/{name}/load?wait=true").status_code == 200
        yield running


def test_the_same_bad_model_wipes_twice_in_a_minute_and_everybody_is_back_twice(app: App, engine: Engine) -> None:
    for times in (1, 2):
        engine.chaos("wipe", "chat-c")
        eventually(lambda: set(engine.residents()) == {"chat-a", "embed-a"}, "everybody is back", within=20)
        eventually(lambda times=times: len(app.journal(kind="evict.nuclear")) == times, "told", within=20)  # type: ignore[misc]


def test_a_slot_that_was_ready_since_its_restore_failed_is_restored_at_once(app: App, engine: Engine) -> None:
    restored = {"on_evict": "restore"}
    requests.patch(f"{app.url}/api/slots/primary", json=restored, timeout=30).raise_for_status()
    with engine.fault("refuse", model="chat-a", error="no such file: not found"):
        engine.chaos("evict", "chat-a")
        app.slot_is("primary", "error", "load_failed")
    assert app.post("/api/slots/primary/load?wait=true").status_code == 200
    app.slot_is("primary", "ready")
    engine.chaos("evict", "chat-a")
    eventually(lambda: "chat-a" in engine.residents(), "it is restored", within=20)
