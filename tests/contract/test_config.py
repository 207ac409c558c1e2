"""Reading and changing lemond's configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.contract import client, recorded
from tests.support.engines import Engine


def test_the_whole_configuration_can_be_read(engine: Engine) -> None:
    config = client.get(engine, "/internal/config").json()
    assert (config["port"], config["max_loaded_models"], config["offline"]) == (engine.port, 2, True)
    assert config["extra_models_dir"] == str(engine.models_dir)
    assert config["llamacpp"]["args"] == "--parallel 1 --threads 1"


def test_a_change_is_in_effect_and_in_the_file_at_once(engine: Engine) -> None:
    answer = client.post(engine, "/internal/set", {"max_loaded_models": 3})
    assert (answer.status_code, answer.json()) == (200, recorded.body("i01_set_max"))
    assert engine.health()["max_models"]["llm"] == 3
    assert json.loads((engine.config_dir / "config.json").read_text())["max_loaded_models"] == 3


@pytest.mark.parametrize(
    "change", [{"llamacpp": {"args": "--parallel 1 --threads 1"}}, {"llamacpp_args": "--parallel 1 --threads 1"}]
)
def test_a_section_can_be_spelled_nested_or_flat(engine: Engine, change: dict[str, Any]) -> None:
    answer = client.post(engine, "/internal/set", change)
    expected = {"llamacpp": {"args": "--parallel 1 --threads 1"}}
    assert answer.json() == {"status": "success", "updated": expected}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"foo": 1}, "Unknown config key: 'foo'"),
        ({"max_loaded_models": 3, "foo": 1}, "Unknown config key: 'foo'"),
        ({"max_loaded_models": "x"}, "'max_loaded_models' must be an integer"),
        ({"max_loaded_models": 0}, "'max_loaded_models' must be -1 (unlimited) or a positive integer"),
        ({}, "Request body must be a non-empty JSON object"),
    ],
)
def test_a_bad_change_is_refused_whole(engine: Engine, change: dict[str, Any], message: str) -> None:
    answer = client.post(engine, "/internal/set", change)
    assert (answer.status_code, answer.json()) == (400, {"error": message})
    assert client.get(engine, "/internal/config").json()["max_loaded_models"] == 2


def test_a_malformed_change_is_400(engine: Engine) -> None:
    answer = requests.post(engine.url + "/internal/set", data="{", timeout=client.LONG)
    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid JSON in request body"})


def test_a_configured_argument_counts_at_the_next_load(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    try:
        assert client.post(engine, "/internal/set", {"llamacpp": {"args": "--parallel 2"}}).ok
        assert engine.residents()["chat-a"]["recipe_options"]["llamacpp_args"] == "--parallel 1 --threads 1"
        client.loaded(engine, "chat-b")
        assert engine.residents()["chat-b"]["recipe_options"]["llamacpp_args"] == "--parallel 2"
    finally:
        client.post(engine, "/internal/set", {"llamacpp": {"args": "--parallel 1 --threads 1"}})
