"""lemond is killed, frozen and overbooked; hal0 tells it as it is, brings back what it should, and loses no request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
import requests

from tests.soak import four_over_two
from tests.support import models, processes
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually

FROZEN_S = {"lemond": 60.0, "embedded": 15.0}
ROUNDS = 30  # a frozen lemond reads no output of its llama-servers: after 64 KiB of it they stop as well
OVERBOOKED_S = 20.0
HEALTH_WITHIN_S = 3.0
SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "on_evict": "restore", "priority": 20},
    "lazy": {"type": "llm", "model": "chat-b", "priority": 99},
    "embed": {"type": "embedding", "model": "embed-a", "on_evict": "restore", "priority": 90},
    "rerank": {"type": "reranking", "model": "rerank-a", "on_evict": "restore", "priority": 50},
}
RESTORED = ["embed", "rerank", "primary"]


@pytest.fixture
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=2) as engine:
        yield engine


@pytest.fixture
def app(tiny: Engine) -> Iterator[App]:
    with hal0(tiny.url, SLOTS) as running:
        for name in SLOTS:
            assert running.post(f"/api/slots/{name}/load?wait=true").status_code == 200
        yield running


def moves(app: App, slot: str) -> list[tuple[str, str]]:
    """Every (state, reason) the journal tells of the slot, in order."""
    told = [one["data"] for one in app.journal(slot=slot, limit=500) if "to" in one["data"]]
    return [(one["to"], one["reason"]) for one in told]


def came_back(app: App, slot: str) -> bool:
    """Whether the slot went with lemond and is ready again."""
    told = moves(app, slot)
    return ("offline", "lemond_restarted") in told and told[-1] == ("ready", "")


def addresses(engine: Engine) -> dict[str, str]:
    """Where lemond says that its models are."""
    return {name: entry["backend_url"] for name, entry in engine.residents().items()}


def agrees(app: App, engine: Engine) -> bool:
    """Whether every slot is ready exactly when lemond holds its model, at the address that lemond says."""
    held = addresses(engine)
    shown = {one["model"]: one["backend_url"] for one in app.get("/api/slots").json() if one["stale_since"] is None}
    return shown == {slot["model"]: held.get(str(slot["model"])) for slot in SLOTS.values()}


def test_after_a_crash_of_lemond_its_slots_come_back_as_they_want(app: App, tiny: Engine) -> None:
    last = app.journal(limit=500)[-1]["id"]
    tiny.crash()
    app.link_is("down")
    assert app.slot("primary")["stale_since"]
    assert {app.slot(name)["state"] for name in SLOTS} == {"ready"}

    tiny.start()
    for name in RESTORED:
        eventually(partial(came_back, app, name), f"{name} is back", within=60)
    lazy = app.slot_is("lazy", "offline", "lemond_restarted")
    assert lazy["message"] == "lemond restarted (reloads on next request)"
    eventually(lambda: agrees(app, tiny), "hal0 shows what the new lemond holds")

    told = app.journal(since=last, limit=500)
    assert [one["slot"] for one in told if one["kind"] == "slot.load"] == RESTORED
    kinds = Counter(one["kind"] for one in told)
    assert (kinds["system.lemond_down"], kinds["lemond.restart"], kinds["evict.nuclear"]) == (1, 1, 0)

    assert app.chat("lazy").status_code == 200
    eventually(lambda: agrees(app, tiny), "the lazy one is where the new lemond has it")
    for slot in ("primary", "lazy"):
        assert app.chat(slot).status_code == 200
    assert all(moves(app, name).count(("offline", "lemond_restarted")) == 1 for name in SLOTS)


def test_a_frozen_lemond_delays_no_warm_slot_and_makes_none_offline(app: App, tiny: Engine) -> None:
    before = {name: moves(app, name) for name in SLOTS}
    with tiny.frozen():
        frozen_s = FROZEN_S[tiny.name]
        until, pause = time.monotonic() + frozen_s, threading.Event()
        answers: list[requests.Response] = []
        shown: list[dict[str, Any]] = []
        while time.monotonic() < until:
            answers += [app.chat("primary"), app.chat("lazy")]
            shown += app.get("/api/slots").json()
            pause.wait(frozen_s / ROUNDS)
        assert all(one["stale_since"] for one in app.get("/api/slots").json())
        assert app.drift().returncode == 1
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["X-Hal0-Path"] for answer in answers} == {"direct"}
    assert max(answer.elapsed.total_seconds() for answer in answers) < frozen_s / 2
    assert {one["state"] for one in shown} <= {"ready", "serving"}

    eventually(lambda: agrees(app, tiny), "the states are fresh again")
    assert {name: moves(app, name) for name in SLOTS} == before
    kinds = Counter(one["kind"] for one in app.journal(limit=500))
    assert (kinds["system.lemond_down"], kinds["system.lemond_up"], kinds["lemond.restart"]) == (1, 1, 0)


def test_a_backend_that_died_while_lemond_was_frozen_is_not_blamed_on_a_restart(app: App, tiny: Engine) -> None:
    pid = tiny.residents()["chat-b"]["pid"]
    with tiny.frozen():
        app.link_is("silent")
        assert app.get("/v1/models/chat-b").json()["id"] == "chat-b", "a known model needs no lemond to be told"
        processes.kill(pid)
    app.wait_for(lambda: ("offline", "evicted") in moves(app, "lazy"), "the lazy slot's model is gone")
    assert app.journal(kind="lemond.restart") == []


def test_four_slots_over_two_places_lose_no_request_and_do_not_freeze_lemond(
    start_engine: Callable[..., AbstractContextManager[Engine]],
) -> None:
    tiny = {f"chat-{x}": models.chat() for x in "abcd"}
    with start_engine(max_loaded_models=2, models=tiny) as engine, hal0(engine.url, four_over_two.SLOTS) as app:
        seen = four_over_two.run(app, engine, OVERBOOKED_S)
        assert seen.failures == []
        assert all(seen.answers[slot] for slot in four_over_two.SLOTS), seen
        assert seen.slowest_health_s < HEALTH_WITHIN_S, seen
        kinds = Counter(one["kind"] for one in app.journal(level="error", limit=500))
        assert not kinds
        for name in four_over_two.SLOTS:
            states = {state for state, _ in moves(app, name)}
            assert "error" not in states
            assert {reason for state, reason in moves(app, name) if state == "offline"} <= {"displaced"}
