"""Who leaves when a type is full, what a pin protects from, and what a failed load destroys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import client, recorded
from tests.support.engines import Engine


def pin(engine: Engine, model: str, *, pinned: bool = True) -> None:
    answer = client.post(engine, "/internal/pin", {"model_name": model, "pinned": pinned})
    assert answer.json() == {"model_name": model, "pinned": pinned, "status": "success"}


def test_the_least_recently_used_of_the_type_is_evicted(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a", "chat-b")
    assert client.chat(engine, "chat-a").ok
    client.loaded(engine, "chat-c")
    assert client.names(engine) == {"chat-a", "chat-c", "embed-a"}


def test_a_request_loads_its_model_and_evicts_another(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    assert client.chat(engine, "chat-c").ok
    assert client.names(engine) == {"chat-b", "chat-c"}


def test_a_pinned_model_is_passed_over(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    pin(engine, "chat-a")
    client.loaded(engine, "chat-c")
    assert client.names(engine) == {"chat-a", "chat-c"}
    assert engine.health()["pinned_models"]["llm"] == 1


def test_a_load_can_pin_without_a_reload(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    before = engine.residents()["chat-a"]["pid"]
    client.loaded(engine, "chat-a", pinned=True)
    entry = engine.residents()["chat-a"]
    assert (entry["pinned"], entry["pid"]) == (True, before)


def test_a_reload_keeps_the_pin(engine: Engine) -> None:
    client.loaded(engine, "chat-a", pinned=True)
    client.loaded(engine, "chat-a", ctx_size=2048)
    assert engine.residents()["chat-a"]["pinned"] is True


def test_an_unload_ignores_the_pin_and_loses_it(engine: Engine) -> None:
    client.loaded(engine, "chat-a", pinned=True)
    assert client.post(engine, "/v1/unload", {"model_name": "chat-a"}).ok
    client.loaded(engine, "chat-a")
    assert engine.residents()["chat-a"]["pinned"] is False


def test_a_pin_of_what_is_not_loaded_is_400(engine: Engine) -> None:
    answer = client.post(engine, "/internal/pin", {"model_name": "chat-c", "pinned": True})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Model not loaded: extra.chat-c"
    recorded.assert_like(answer.json(), recorded.body("f11_pin_not_loaded"))


@pytest.mark.parametrize("stream", [False, True])
def test_all_pinned_refuses_with_409_before_a_stream_starts(engine: Engine, stream: bool) -> None:
    client.loaded(engine, "chat-a", "chat-b", pinned=True)
    known = recorded.body("f08_load_all_pinned")["error"] | {"requested_model": "chat-c"}
    for answer in (client.load(engine, "chat-c"), client.chat(engine, "chat-c", stream=stream)):
        assert (answer.status_code, answer.json()["error"]) == (409, known)
    assert client.names(engine) == {"chat-a", "chat-b"}


WIPING: dict[str, dict[str, Any]] = {
    "a broken file": {"model_name": "broken"},
    "an unknown flag": {"model_name": "chat-b", "llamacpp_args": "--no-such-flag"},
    "a reserved flag": {"model_name": "chat-b", "llamacpp_args": "--port 1234"},
    "a bogus backend": {"model_name": "chat-b", "llamacpp_backend": "bogus"},
}


@pytest.mark.parametrize("body", WIPING.values(), ids=WIPING.keys())
def test_a_failed_load_wipes_every_resident(engine: Engine, body: dict[str, Any]) -> None:
    client.loaded(engine, "chat-a", pinned=True)
    client.loaded(engine, "embed-a")
    answer = client.post(engine, "/v1/load", body)
    assert answer.status_code == 500
    recorded.assert_like(answer.json(), recorded.body("e02_load_broken_gguf"))
    assert answer.json()["error"]["code"] == "model_load_error"
    assert client.names(engine) == set()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_for_a_broken_model_wipes_too(engine: Engine, stream: bool) -> None:
    client.loaded(engine, "chat-a")
    answer = client.chat(engine, "broken", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_load_error")
    assert client.names(engine) == set()


def test_a_missing_file_wipes_nothing(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    for answer in (client.load(engine, "missing-a"), client.chat(engine, "missing-a")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_load_error")
    assert client.names(engine) == {"chat-a"}


def test_a_file_deleted_since_the_start_wipes_nothing(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    file = engine.models_dir / "chat-c.gguf"
    kept = file.rename(file.with_suffix(".away"))
    try:
        assert client.load(engine, "chat-c").status_code == 500
        assert client.names(engine) == {"chat-a"}
    finally:
        kept.rename(file)


def test_a_lower_limit_evicts_nothing_until_the_next_load(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    assert client.post(engine, "/internal/set", {"max_loaded_models": 1}).ok
    assert client.names(engine) == {"chat-a", "chat-b"}
    assert engine.health()["max_models"]["llm"] == 1
