"""The freezes that hal0 works around: they must be there, or the tests of hal0 prove nothing."""

from __future__ import annotations

from contextlib import ExitStack

from tests.contract import client
from tests.support.engines import Engine
from tests.support.waiting import eventually

HUNG_S = 1.0
ANSWERED_S = 60.0  # long enough for a busy machine, and short of the end of what hangs


def hangs(engine: Engine, path: str) -> bool:
    return not client.answers(engine, path, HUNG_S)


def goes_on(engine: Engine, path: str) -> bool:
    return client.answers(engine, path, ANSWERED_S)


def test_evicting_a_busy_model_freezes_health_but_not_live(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b", ctx_size=65536)
    with ExitStack() as load_waits, ExitStack() as streams:
        for model in ("chat-a", "chat-b"):
            streams.enter_context(client.streaming(engine, model))
        load = load_waits.enter_context(client.background(client.load, engine, "chat-c"))
        for path in ("/v1/health", "/v1/models"):
            eventually(lambda path=path: hangs(engine, path), f"{path} hangs")  # type: ignore[misc]
        assert goes_on(engine, "/live")
        assert goes_on(engine, "/v1/stats")
        assert not load.done()
    assert load.result().status_code == 200
    assert client.names(engine) == {"chat-b", "chat-c"}


def test_an_unload_of_a_busy_model_waits_for_its_stream(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=65536)
    with ExitStack() as unload_waits, client.streaming(engine, "chat-a") as stream:
        body = {"model_name": "chat-a"}
        unload = unload_waits.enter_context(client.background(client.post, engine, "/v1/unload", body))
        eventually(lambda: hangs(engine, "/v1/health"), "health hangs")
        assert not unload.done()
        assert stream.next(), "the stream goes on"
        stream.close()
    assert unload.result().status_code == 200
    assert client.names(engine) == set()


def test_a_loading_model_is_not_listed_and_others_wait_for_it(engine: Engine) -> None:
    client.loaded(engine, "embed-a")
    embedding = {"model": "embed-a", "input": "x"}
    with client.background(client.load, engine, "chat-a", ctx_size=65536) as load:
        answer = client.post(engine, "/v1/embeddings", embedding)
        assert answer.status_code == 200
    assert load.result().status_code == 200
    assert client.names(engine) == {"chat-a", "embed-a"}
