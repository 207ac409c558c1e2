"""Deleting models, installing backends, controlling downloads: what a Lemonade without a network does and refuses."""

from __future__ import annotations

import pytest

from tests.contract import client
from tests.support import models
from tests.support.engines import Engine


def test_a_model_of_extra_models_dir_is_unloaded_and_then_not_deleted(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    answer = client.post(engine, "/v1/delete", {"model_name": "chat-a"})
    file = engine.models_dir / "chat-a.gguf"
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("Cannot delete extra models via API.")
    assert answer.json()["error"].endswith(str(file))
    assert file.exists()
    assert client.names(engine) == set()
    assert client.get(engine, "/v1/models/chat-a").ok


def test_a_model_of_a_local_path_is_not_deleted(engine: Engine) -> None:
    answer = client.post(engine, "/v1/delete", {"model_name": "embed-a"})
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": f"Could not find models-- directory in path: {models.embed()}"},
    )


def test_installing_what_is_installed_succeeds(engine: Engine) -> None:
    answer = client.post(engine, "/v1/install", {"recipe": "llamacpp", "backend": "system"})
    assert (answer.status_code, answer.json()["status"]) == (200, "success")


def test_installing_what_this_machine_cannot_have_is_refused_with_the_reason(engine: Engine) -> None:
    answer = client.post(engine, "/v1/install", {"recipe": "llamacpp", "backend": "vulkan"})
    assert (answer.status_code, answer.json()["recipe"], answer.json()["backend"]) == (400, "llamacpp", "vulkan")
    assert answer.json()["error"].startswith("Cannot install llamacpp:vulkan on this system: ")


def test_an_install_needs_a_recipe_and_a_backend(engine: Engine) -> None:
    answer = client.post(engine, "/v1/install", {"recipe": "llamacpp"})
    assert (answer.status_code, answer.json()) == (400, {"error": "Both 'recipe' and 'backend' are required"})


def test_a_pull_as_a_job_is_refused_at_once_while_offline(engine: Engine) -> None:
    wanted = {"model_name": "user.New", "checkpoint": "org/repo:Q4_0", "recipe": "llamacpp"}
    answer = client.post(engine, "/v1/pull", {**wanted, "stream": True, "subscribe": False})
    assert (answer.status_code, answer.json()["code"]) == (400, "lemond_offline")


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_a_download_that_is_not_there_cannot_be_controlled(engine: Engine, action: str) -> None:
    answer = client.post(engine, "/v1/downloads/control", {"id": "model:nope", "action": action})
    assert (answer.status_code, answer.json()) == (404, {"error": "Download not found"})


def test_removing_a_download_that_is_not_there_is_no_error(engine: Engine) -> None:
    answer = client.post(engine, "/v1/downloads/control", {"id": "model:nope", "action": "remove"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "missing": True})
