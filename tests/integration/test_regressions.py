"""Sequences that went wrong once, each as short as it can be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.support.app import App, hal0, write_slots
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


def pinned(engine: Engine) -> set[str]:
    return {name for name, one in engine.residents().items() if one["pinned"]}


def test_a_pin_that_no_slot_wants_any_more_is_taken_back_after_a_restart_too(app: App, engine: Engine) -> None:
    app.post("/api/slots/primary/pin").raise_for_status()
    eventually(lambda: pinned(engine) == {"chat-a"}, "hal0 pins it", within=20)
    requests.post(f"{engine.url}/v1/load", json={"model_name": "chat-c", "pinned": True}, timeout=60).raise_for_status()
    app.stop()
    write_slots(app.home, {"primary": {"type": "llm", "model": "chat-b"}})
    app.start()
    eventually(lambda: pinned(engine) == {"chat-c"}, "only the pin of somebody else is left", within=20)
    (told,) = app.wait_for(lambda: app.journal(kind="model.unpin"), "the journal tells of it")
    assert told["model"] == "chat-a"


def test_a_folder_of_slots_that_is_gone_is_told_and_forgets_no_slot(app: App) -> None:
    folder, away = app.home / "etc/slots", app.home / "etc/away"
    before = [(one["name"], one["loads"]) for one in app.get("/api/slots").json()]
    folder.rename(away)
    app.wait_for(lambda: app.get("/readyz").status_code == 503, "it is told")
    assert app.get("/readyz").json()["error"]["code"] == "system.slots_unreadable"
    assert app.drift().returncode in {0, 3}
    assert [one["kind"] for one in app.get("/api/drift").json()] == ["system.slots"]
    refused = app.post("/api/slots", {"name": "new", "type": "llm"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "system.slots_unreadable")
    assert app.chat("primary").status_code == 200
    away.rename(folder)
    app.wait_for(lambda: app.get("/readyz").status_code == 200, "it is well again")
    assert [(one["name"], one["loads"]) for one in app.get("/api/slots").json()] == before
    assert app.get("/api/drift").json() == []
    assert len(app.journal(kind="system.slots")) == 1
