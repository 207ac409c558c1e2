"""The embedded engine's control port: every fault strikes, and ends when it is released."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.contract import client
from tests.support.engines import Engine, embedded_engine
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def module_engine() -> Iterator[Engine]:
    with embedded_engine(chaos=True) as engine:
        yield engine


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    yield module_engine
    module_engine.release()


def answers(engine: Engine, *paths: str) -> bool:
    """Whether all of these are answered."""
    return all(client.answers(engine, path, within=60) for path in paths)


def hangs(engine: Engine, *paths: str) -> bool:
    """Whether none of these is, for a while."""
    return not any(client.answers(engine, path, within=1) for path in paths)


def test_health_hangs_while_live_answers_until_released(engine: Engine) -> None:
    with engine.fault("hang"):
        assert answers(engine, "/live", "/v1/stats")
        assert hangs(engine, "/v1/health", "/v1/models")
    assert answers(engine, "/live", "/v1/health")


def test_a_request_that_was_caught_in_a_hang_is_answered_after_it(engine: Engine) -> None:
    engine.put("hang", what="everything")
    with client.background(client.get, engine, "/v1/health") as caught:
        assert hangs(engine, "/live")
        assert not caught.done()
        engine.release("hang")
    assert caught.result().ok


def test_threads_run_out_when_pollers_give_up_on_a_hanging_health(engine: Engine) -> None:
    engine.put("threads", count=2)
    engine.put("hang")
    assert answers(engine, "/live")
    assert hangs(engine, "/v1/health", "/v1/health", "/live")
    engine.release("hang")
    assert answers(engine, "/live", "/v1/health")


def test_a_load_is_refused_with_the_given_error_and_wipes(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    with engine.fault("refuse", model="chat-b", error="no such device"):
        refused = client.load(engine, "chat-b")
        assert (refused.status_code, client.names(engine)) == (500, set())
        assert "no such device" in refused.json()["error"]["message"]
        client.loaded(engine, "chat-c")
    client.loaded(engine, "chat-b")


def test_a_slow_load_waits_for_its_release(engine: Engine) -> None:
    engine.put("slow", model="chat-a")
    with client.background(client.load, engine, "chat-a", ctx_size=512) as load:
        assert "chat-a" not in client.names(engine)
        assert not load.done()
        engine.release("slow")
    assert load.result().ok


def test_a_stream_is_cut_without_a_word(engine: Engine) -> None:
    engine.put("cut", after=2)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.chat(engine, "chat-a", stream=True, max_tokens=500)
    engine.release("cut")
    assert "[DONE]" in client.chat(engine, "chat-a", stream=True).text


def test_a_model_leaves_at_once_though_it_is_busy(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=65536)
    with client.streaming(engine, "chat-a"):
        engine.chaos("evict", "chat-a")
        assert "chat-a" not in client.names(engine)


def test_a_backend_is_killed(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    engine.chaos("kill", "chat-a")
    eventually(lambda: "chat-a" not in client.names(engine), "it is gone")


def test_everything_is_wiped(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    assert engine.chaos("wipe", "chat-c", error="out of memory") == {"status": 500, "error": "out of memory"}
    assert client.names(engine) == set()
    client.loaded(engine, "chat-c")


def test_what_the_port_does_not_know_is_refused_with_what_it_knows(engine: Engine) -> None:
    def put(path: str, body: object) -> requests.Response:
        return requests.put(f"http://127.0.0.1:{engine.chaos_port}{path}", json=body, timeout=10)

    assert "hang, threads" in put("/faults/typo", {}).json()["error"]
    assert "takes what" in put("/faults/hang", {"waht": 1}).json()["error"]
    assert put("/faults/slow", {"seconds": 1}).json() == {"model": "", "seconds": 1}
    faults = requests.get(f"http://127.0.0.1:{engine.chaos_port}/faults", timeout=10).json()
    assert faults == [{"fault": "slow", "model": "", "seconds": 1}]
