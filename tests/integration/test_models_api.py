"""`/api/models`, `/api/downloads`, `/api/backends` over a Lemonade without a network."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.app import App

KEYS = {
    *("id", "type", "recipe", "labels", "size_gb", "ctx_size", "checkpoint", "source", "downloaded", "deletable"),
    *("resident", "pinned", "slots", "quarantine"),
}


def listed(app: App) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in app.get("/api/models").json()}


def delete(app: App, model: str, **query: str) -> requests.Response:
    return requests.delete(f"{app.url}/api/models/{model}", params=query, timeout=60)


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_models_are_listed_with_their_type_and_the_slots_that_name_them(app: App) -> None:
    models = listed(app)
    assert {"chat-a", "chat-b", "embed-a", "rerank-a", "broken"} <= set(models)
    assert all(set(one) == KEYS for one in models.values())
    assert (models["embed-a"]["type"], models["embed-a"]["slots"]) == ("embedding", ["embed"])
    assert (models["chat-c"]["type"], models["chat-c"]["slots"]) == ("llm", [])
    assert not any(one["deletable"] for one in models.values())


def test_a_model_is_shown_as_resident_while_it_is_loaded(app: App) -> None:
    assert app.chat("primary").status_code == 200
    assert listed(app)["chat-a"]["resident"] is True
    app.post("/api/slots/primary/unload?wait=true").raise_for_status()
    assert listed(app)["chat-a"]["resident"] is False


def test_a_model_that_only_a_slot_knows_is_listed_as_not_downloaded(app: App) -> None:
    app.post("/api/slots", {"name": "hopeful", "type": "embedding", "model": "not-here"}).raise_for_status()
    try:
        row = listed(app)["not-here"]
        assert (row["downloaded"], row["type"], row["slots"]) == (False, "embedding", ["hopeful"])
    finally:
        requests.delete(f"{app.url}/api/slots/hopeful", timeout=30).raise_for_status()
    assert "not-here" not in listed(app)


def test_a_loaded_model_is_not_deleted_and_stays_loaded(app: App) -> None:
    assert app.chat("primary").status_code == 200
    answer = delete(app, "chat-a")
    assert refusal(answer) == (409, "model.in_use")
    assert answer.json()["error"]["details"] == {"slots": ["primary"], "loaded": True}
    assert "primary" in answer.json()["error"]["message"]
    assert listed(app)["chat-a"]["resident"] is True


def test_a_model_that_an_enabled_slot_names_is_not_deleted(app: App) -> None:
    app.post("/api/slots/second/unload?wait=true").raise_for_status()
    answer = delete(app, "chat-b")
    assert refusal(answer) == (409, "model.in_use")
    assert answer.json()["error"]["details"] == {"slots": ["second"], "loaded": False}


def test_a_file_that_lemonade_does_not_own_is_refused_with_its_path_and_not_unloaded(app: App) -> None:
    assert app.chat("primary").status_code == 200
    answer = delete(app, "chat-a", force="true")
    assert refusal(answer) == (409, "model.local_file")
    assert answer.json()["error"]["details"]["file"].endswith("/chat-a.gguf")
    assert listed(app)["chat-a"]["resident"] is True


@pytest.mark.parametrize(
    ("model", "refused"), [("nobody", (404, "model.unknown")), ("missing-a", (409, "model.not_downloaded"))]
)
def test_what_is_not_here_cannot_be_deleted(app: App, model: str, refused: tuple[int, str]) -> None:
    assert refusal(delete(app, model)) == refused


def test_a_pull_without_a_network_is_refused_with_lemonades_reason_and_journalled(app: App) -> None:
    answer = app.post("/api/models/pull", {"model_name": "Qwen3-0.6B-GGUF"})
    assert refusal(answer) == (502, "model.pull_failed")
    assert "offline" in answer.json()["error"]["message"]
    assert answer.json()["error"]["details"]["upstream_status"] == 400
    told = app.journal(kind="model.pull")[-1]
    assert (told["model"], told["level"]) == ("Qwen3-0.6B-GGUF", "error")
    assert "offline" in told["message"]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({}, "request.missing_field", "model_name"),
        ({"model_name": 3}, "request.invalid_field", "model_name"),
        ({"model_name": ""}, "request.invalid_field", "model_name"),
        ({"model_name": "user.x", "checkpont": "a/b"}, "request.invalid_field", "checkpont"),
    ],
)
def test_a_pull_that_makes_no_sense_is_refused(app: App, body: dict[str, Any], code: str, says: str) -> None:
    answer = app.post("/api/models/pull", body)
    assert refusal(answer) == (400, code)
    assert says in answer.json()["error"]["message"]


def test_a_pull_has_to_be_json(app: App) -> None:
    answer = requests.post(f"{app.url}/api/models/pull", data="model_name=x", timeout=30)
    assert refusal(answer) == (415, "request.unsupported_media_type")


@pytest.mark.parametrize("act", ["pause", "resume", "cancel"])
def test_a_download_that_is_not_there_cannot_be_controlled(app: App, act: str) -> None:
    assert app.get("/api/downloads").json() == []
    assert refusal(app.post(f"/api/downloads/model:user.a/b/{act}")) == (404, "download.not_found")


def test_backends_are_listed_with_their_state(app: App) -> None:
    backends = {one["id"]: one for one in app.get("/api/backends").json()}
    assert backends["llamacpp:system"]["state"] == "installed"
    assert set(backends["llamacpp:system"]) >= {"recipe", "backend", "message", "action", "default"}


def test_a_backend_that_is_installed_needs_nothing(app: App) -> None:
    assert app.post("/api/backends/llamacpp:system/install").status_code == 204


def test_a_backend_that_nobody_knows_is_not_installed(app: App) -> None:
    assert refusal(app.post("/api/backends/llamacpp:nonsense/install")) == (404, "backend.unknown")
