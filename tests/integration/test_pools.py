"""Two pools in real processes: what one waits for does not delay the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.contract import client
from tests.support.app import App, hal0
from tests.support.busy import busy
from tests.support.engines import Engine, embedded_engine
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a"},
    "second": {"type": "llm", "model": "chat-b"},
    "embed": {"type": "embedding", "model": "embed-a"},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with embedded_engine(max_loaded_models=1) as started:
        yield started


@pytest.fixture(scope="module")
def app(engine: Engine) -> Iterator[App]:
    with hal0(engine.url, SLOTS) as running:
        yield running


def test_a_drain_in_the_chat_pool_does_not_delay_an_embedding(app: App) -> None:
    with ThreadPoolExecutor(1) as pool:
        with busy(app, "primary") as asked:
            waiting = pool.submit(app.chat, "second")
            app.slot_is("primary", "unloading")
            answer = app.post("/v1/embeddings", {"model": "embed", "input": "hello"})
            assert answer.status_code == 200, answer.text
            assert (app.slot("second")["queued"], app.slot("primary")["in_flight"]) == (1, 1)
            assert not asked.done()
        assert waiting.result().status_code == 200


def test_a_drain_ends_when_the_one_who_waits_for_it_leaves(app: App) -> None:
    with busy(app, "primary"):
        before = app.slot("second")
        body = {"model": "second", "messages": [{"role": "user", "content": "hello"}]}
        with pytest.raises(requests.Timeout):
            requests.post(f"{app.url}/v1/chat/completions", json=body, timeout=3)
        app.slot_is("primary", "serving")
        eventually(lambda: app.slot("second")["queued"] == 0, "the place is free")
        after = app.slot_is("second", "offline")
        assert (after["reason"], after["evictions"]) == (before["reason"], before["evictions"])
    (told,) = [one for one in app.journal(kind="slot.load") if one["data"]["code"] == "client.gone"]
    assert told["level"] == "info"


def test_a_model_that_lemond_answers_somebody_else_with_is_waited_for_and_lemond_does_not_stand_still(
    app: App, engine: Engine
) -> None:
    assert app.post("/api/slots/primary/load?wait=true").status_code == 200
    with ThreadPoolExecutor(1) as pool:
        with client.streaming(engine, "chat-a"):
            waiting = pool.submit(app.chat, "second")
            app.slot_is("primary", "unloading")
            looked = app.get("/api/residency").json()["taken_at"]
            eventually(lambda: app.get("/api/residency").json()["taken_at"] > looked, "lemond is looked at")
            assert "chat-a" in engine.residents()
            assert not waiting.done()
        assert waiting.result().status_code == 200
    app.slot_is("primary", "offline", "displaced")
