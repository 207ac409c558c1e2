"""The FLM trio over a simulated FastFlowLM (docs/npu.md): it loads as one, leaves as one, and is asked directly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.app import App, hal0
from tests.support.engines import Engine, embedded_engine

TRIO = ("agent", "embed-npu", "stt-npu")
SLOTS = {
    "agent": {"type": "llm", "device": "npu", "model": "gemma3:1b"},
    "embed-npu": {"type": "embedding", "device": "npu", "model": "embed-gemma:300m"},
    "stt-npu": {"type": "transcription", "device": "npu", "model": "whisper-v3:turbo"},
}
WORDS = "simulated by hal0's embedded engine"


def flm(*labels: str) -> dict[str, Any]:
    return {"checkpoint": "", "source": "local_path", "recipe": "flm", "labels": list(labels), "suggested": True}


FLM_MODELS = {
    "gemma3:1b": flm(),
    "qwen3:4b": flm(),
    "embed-gemma:300m": flm("embeddings"),
    "whisper-v3:turbo": flm("transcription"),
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with embedded_engine(models={}, user_models=FLM_MODELS, simulate_flm=True) as running:
        yield running


@pytest.fixture
def app(engine: Engine) -> Iterator[App]:
    with hal0(engine.url, SLOTS) as running:
        yield running


def patch(app: App, name: str, changes: object) -> requests.Response:
    return requests.patch(f"{app.url}/api/slots/{name}", json=changes, timeout=60)


def embed(app: App, model: str = "embed-npu") -> requests.Response:
    return app.post("/v1/embeddings", {"model": model, "input": ["one", "two"]})


def transcribe(app: App, model: str) -> requests.Response:
    upload = {"file": ("a.wav", b"R" * 70_000, "audio/wav")}
    return requests.post(f"{app.url}/v1/audio/transcriptions", data={"model": model}, files=upload, timeout=60)


def test_loading_the_chat_model_brings_the_trio_and_its_end_takes_it(app: App, engine: Engine) -> None:
    assert app.post("/api/slots/agent/load?wait=true").status_code == 200
    shown = [app.slot_is(name, "ready") for name in TRIO]
    assert {one["recipe"] for one in shown} == {"flm"}
    assert len({one["backend_url"] for one in shown}) == 1
    assert set(engine.residents()) == {"gemma3:1b"}
    assert engine.residents()["gemma3:1b"]["device"] == "npu"

    requests.post(f"{engine.url}/v1/unload", json={"model_name": "gemma3:1b"}, timeout=30).raise_for_status()
    for name in TRIO:
        app.slot_is(name, "offline", "evicted")

    app.post("/api/slots/agent/load?wait=true")
    app.post("/api/slots/agent/unload?wait=true")
    for name in TRIO:
        app.slot_is(name, "offline", "operator")


def test_an_embedding_loads_the_trio_and_goes_straight_to_its_process(app: App, engine: Engine) -> None:
    answer = embed(app)
    assert answer.status_code == 200, answer.text
    assert [len(row["embedding"]) for row in answer.json()["data"]] == [8, 8]
    assert answer.json()["model"] == "embed-gemma:300m"
    told = {name: answer.headers[f"X-Hal0-{name}"] for name in ("Slot", "Model", "Route", "Path")}
    assert told == {"Slot": "embed-npu", "Model": "gemma3:1b", "Route": "slot", "Path": "direct"}
    assert set(engine.residents()) == {"gemma3:1b"}
    assert embed(app, "embed-gemma:300m").status_code == 200


def test_a_transcription_reaches_the_process_as_it_was_uploaded(app: App) -> None:
    answer = transcribe(app, "stt-npu")
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"].startswith(f"{WORDS}: an upload of 70")
    assert answer.headers["X-Hal0-Slot"] == "stt-npu"


def test_a_transcription_for_a_model_that_nobody_knows_is_refused(app: App) -> None:
    answer = transcribe(app, "whisper-large")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "dispatch.no_route")


def test_chat_on_the_npu_goes_through_lemonade(app: App) -> None:
    answer = app.chat("agent")
    assert answer.json()["choices"][0]["message"]["content"] == WORDS
    assert answer.headers["X-Hal0-Path"] == "lemond"


def test_a_killed_process_is_loaded_again_by_the_next_embedding(app: App, engine: Engine) -> None:
    assert embed(app).status_code == 200
    pid = engine.residents()["gemma3:1b"]["pid"]
    requests.post(f"{engine.url}/v1/unload", json={"model_name": "gemma3:1b"}, timeout=30).raise_for_status()
    assert embed(app).status_code == 200
    assert engine.residents()["gemma3:1b"]["pid"] != pid


def test_without_a_chat_slot_the_trio_is_unavailable(app: App, engine: Engine) -> None:
    assert patch(app, "agent", {"enabled": False}).status_code == 200
    for answer in (embed(app), transcribe(app, "stt-npu"), app.post("/api/slots/embed-npu/load")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "npu.trio_unavailable")
    assert engine.residents() == {}


def test_a_second_chat_slot_on_the_npu_is_refused_on_create_change_and_enable(app: App) -> None:
    second = {"name": "second", "type": "llm", "device": "npu", "model": "qwen3:4b"}
    created = app.post("/api/slots", second)
    assert app.post("/api/slots", {**second, "enabled": False}).status_code == 201
    enabled = patch(app, "second", {"enabled": True})
    assert (
        requests.patch(
            f"{app.url}/api/slots/" + "second", json={"device": "cpu", "enabled": True}, timeout=60
        ).status_code
        == 200
    )
    changed = patch(app, "second", {"device": "npu"})
    for answer in (created, enabled, changed):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (409, "slot.npu_exclusivity_violation")
        assert error["details"]["conflicting_slots"] == ["agent"]


def test_another_chat_model_leaves_the_npu_first_and_a_pinned_one_stays(app: App, engine: Engine) -> None:
    load = {"model_name": "qwen3:4b"}
    requests.post(f"{engine.url}/v1/load", json=load, timeout=30).raise_for_status()
    app.wait_for(lambda: app.get("/api/npu/swap-status").json()["in_progress"], "the swap is seen")
    status = app.get("/api/npu/swap-status").json()
    assert status == {"in_progress": True, "from_model": "qwen3:4b", "to_model": "gemma3:1b"}
    assert embed(app).status_code == 200
    assert [one["model"] for one in app.journal(kind="slot.unload")] == ["qwen3:4b"]
    assert app.get("/api/npu/swap-status").json()["in_progress"] is False

    requests.post(f"{engine.url}/v1/load", json={**load, "pinned": True}, timeout=30).raise_for_status()
    app.slot_is("agent", "offline")
    refused = app.post("/api/slots/agent/load?wait=true")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "npu.busy")
    assert set(engine.residents()) == {"qwen3:4b"}


def test_unloading_a_shadow_leaves_the_trio_unless_it_is_forced(app: App, engine: Engine) -> None:
    assert embed(app).status_code == 200
    app.post("/api/slots/embed-npu/unload?wait=true")
    assert set(engine.residents()) == {"gemma3:1b"}
    app.post("/api/slots/embed-npu/unload?wait=true&force=true")
    assert engine.residents() == {}
    swap = app.post("/api/slots/embed-npu/swap", {"model": "other"})
    assert (swap.status_code, swap.json()["error"]["param"]) == (400, "model")


def test_a_shadow_that_names_the_chat_model_keeps_nothing_loaded(app: App, engine: Engine) -> None:
    assert patch(app, "embed-npu", {"model": "gemma3:1b"}).status_code == 200
    assert embed(app).status_code == 200
    app.post("/api/slots/agent/unload?wait=true")
    assert engine.residents() == {}


def test_without_the_option_the_engine_knows_no_npu() -> None:
    with embedded_engine(models={}, user_models=FLM_MODELS) as engine:
        recipes = requests.get(f"{engine.url}/v1/system-info", timeout=30).json()["recipes"]
        assert set(recipes) == {"llamacpp"}
        listed = requests.get(f"{engine.url}/v1/models", params={"show_all": "true"}, timeout=30).json()["data"]
        assert {one["recipe"] for one in listed} == {"llamacpp"}
