"""Loading, reloading and unloading."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.contract import client, recorded
from tests.support.engines import Engine


def pid(engine: Engine, model: str) -> int:
    return int(engine.residents()[model]["pid"])


def test_a_load_answers_when_the_model_is_ready(engine: Engine) -> None:
    answer = client.load(engine, "chat-a")
    recorded.assert_like(answer.json(), recorded.body("b11_load_again_noop"))
    assert answer.json()["status"] == "success"
    assert client.names(engine) == {"chat-a"}


def test_a_repeated_load_changes_nothing(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=2048)
    before = pid(engine, "chat-a")
    client.loaded(engine, "chat-a", ctx_size=2048)
    assert pid(engine, "chat-a") == before


def test_other_options_reload_the_model(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    before = pid(engine, "chat-a")
    client.loaded(engine, "chat-a", ctx_size=2048)
    assert pid(engine, "chat-a") != before
    assert engine.residents()["chat-a"]["recipe_options"]["ctx_size"] == 2048


def test_options_are_not_remembered_by_the_next_load(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=2048)
    client.loaded(engine, "chat-a")
    assert engine.residents()["chat-a"]["recipe_options"]["ctx_size"] == 4096


def test_a_chat_uses_the_resident_whatever_its_options(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=2048)
    before = pid(engine, "chat-a")
    assert client.chat(engine, "chat-a").ok
    assert pid(engine, "chat-a") == before


def test_args_of_a_load_are_merged_over_the_configured_ones(engine: Engine) -> None:
    client.loaded(engine, "chat-a", llamacpp_args="--threads 2 --temp 0.5")
    entry = engine.residents()["chat-a"]
    assert entry["recipe_options"]["llamacpp_args"] == "--parallel 1 --temp 0.5 --threads 2"
    assert " ".join(entry["launch_command"]).endswith("--parallel 1 --temp 0.5 --threads 2")


def test_args_of_a_load_can_stand_alone(engine: Engine) -> None:
    client.loaded(engine, "chat-a", llamacpp_args="--parallel 2", merge_args=False)
    entry = engine.residents()["chat-a"]
    assert entry["recipe_options"]["llamacpp_args"] == "--parallel 2"
    assert "--threads" not in entry["launch_command"]


def test_a_null_option_counts_as_absent(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    before = pid(engine, "chat-a")
    client.loaded(engine, "chat-a", llamacpp_args=None)
    assert pid(engine, "chat-a") == before


def test_unload_takes_one_model_away(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    answer = client.post(engine, "/v1/unload", {"model_name": "chat-a"})
    assert answer.status_code == 200
    recorded.assert_like(answer.json(), recorded.body("f12_unload_pinned"))
    assert client.names(engine) == {"chat-b"}


def test_unload_accepts_the_key_model(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    assert client.post(engine, "/v1/unload", {"model": "chat-a"}).status_code == 200
    assert client.names(engine) == set()


@pytest.mark.parametrize("model", ["chat-b", "nope"])
def test_unload_of_what_is_not_loaded_is_404(engine: Engine, model: str) -> None:
    client.loaded(engine, "chat-a")
    answer = client.post(engine, "/v1/unload", {"model_name": model})
    assert (answer.status_code, answer.json()) == (404, {"error": f"Model not loaded: {model}"})
    assert client.names(engine) == {"chat-a"}


@pytest.mark.parametrize("data", ["{}", "", "{"])
def test_unload_without_a_name_unloads_everything(engine: Engine, data: str) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    answer = requests.post(engine.url + "/v1/unload", data=data, timeout=client.LONG)
    assert (answer.status_code, answer.json()) == (200, recorded.body("f15_unload_empty_body"))
    assert client.names(engine) == set()


@pytest.mark.parametrize("body", [{}, {"model_name": 5}, {"model": "chat-a"}])
def test_a_load_without_a_name_is_400(engine: Engine, body: dict[str, Any]) -> None:
    answer = client.post(engine, "/v1/load", body)
    assert answer.status_code == 400
    recorded.assert_like(answer.json(), recorded.body("b02_load_no_name"))


def test_a_load_of_an_unknown_model_is_404_and_evicts_nothing(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    answer = client.load(engine, "nope")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert client.names(engine) == {"chat-a"}
