"""What health, the model list and liveness look like."""

from __future__ import annotations

import pytest
import requests

from tests.contract import client, recorded
from tests.support.engines import Engine
from tests.support.waiting import eventually

PREFIXES = ["/v1", "/v0", "/api/v1", "/api/v0"]


def test_live_answers_ok(engine: Engine) -> None:
    assert client.get(engine, "/live").json() == {"status": "ok"}
    assert requests.head(engine.url + "/live", timeout=client.LONG).status_code == 200


@pytest.mark.parametrize("prefix", PREFIXES)
def test_health_is_served_under_every_prefix(engine: Engine, prefix: str) -> None:
    assert client.get(engine, f"{prefix}/health").json()["status"] == "ok"


def test_health_is_not_served_without_a_prefix(engine: Engine) -> None:
    answer = client.get(engine, "/health")  # 404 in 11.7.0; in 2026.39.1 the page of the web interface
    assert answer.status_code == 404 or answer.headers["Content-Type"].startswith("text/html")


def test_health_of_three_types_looks_like_the_recorded_one(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a", "rerank-a")
    health, known = engine.health(), recorded.body("b24_health_three_types")
    known.pop("websocket_port")
    recorded.assert_like(health, known)
    entries = health["all_models_loaded"]
    assert [entry["type"] for entry in entries] == ["llm", "embedding", "reranking"]
    assert [entry["slot_pool"] for entry in entries] == ["standard/llm", "standard/embedding", "standard/reranking"]
    assert health["model_loaded"] == "rerank-a"


def test_an_idle_resident_is_ready_and_says_how_it_was_started(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    entry = engine.residents()["chat-a"]
    assert (entry["status"], entry["backend_health"], entry["is_busy"]) == ("ready", "ready", False)
    assert str(engine.models_dir / "chat-a.gguf") == entry["checkpoint"]
    assert entry["checkpoint"] in entry["launch_command"]
    assert entry["max_context_window"] == 65536
    assert entry["recipe_options"]["ctx_size"] == 4096


def test_the_backend_url_of_a_resident_serves_without_lemond(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    body = {"messages": client.MESSAGES, "max_tokens": 3}
    answer = requests.post(engine.residents()["chat-a"]["backend_url"] + "/chat/completions", json=body, timeout=60)
    assert answer.json()["usage"]["completion_tokens"] == 3


def test_last_use_orders_the_residents(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    assert client.chat(engine, "chat-a").ok
    residents = engine.residents()
    assert residents["chat-a"]["last_use"] > residents["chat-b"]["last_use"]
    assert engine.health()["model_loaded"] == "chat-a"


def test_a_streaming_resident_is_busy_until_its_client_leaves(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=32768)
    with client.streaming(engine, "chat-a"):
        entry = engine.residents()["chat-a"]
        assert (entry["status"], entry["is_busy"], entry["is_streaming"]) == ("in_use", True, True)
    eventually(lambda: not engine.residents()["chat-a"]["is_busy"], "the generation is aborted")


def test_stats_count_the_last_answer(engine: Engine) -> None:
    assert client.chat(engine, "chat-a", max_tokens=5).ok
    stats = client.get(engine, "/v1/stats").json()
    recorded.assert_like(stats, recorded.body("c39_stats_after"))
    assert stats["output_tokens"] == 5


def test_system_info_names_devices_and_backends(engine: Engine) -> None:
    info = client.get(engine, "/v1/system-info").json()
    assert info["recipes"]["llamacpp"]["backends"]["system"]["state"] == "installed"
    assert {"cpu", "amd_gpu", "amd_npu"} <= info["devices"].keys()
    assert {"free_bytes", "path", "total_bytes", "used_bytes"} <= info["model_storage"].keys()


def test_metrics_are_prometheus_text(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    assert "lemonade_loaded_models 1" in client.get(engine, "/metrics").text.splitlines()
