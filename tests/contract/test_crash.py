"""What a killed backend looks like, and how it comes back."""

from __future__ import annotations

import os
import signal

import pytest

from tests.contract import client, recorded
from tests.support import processes
from tests.support.engines import Engine
from tests.support.waiting import eventually


def kill(engine: Engine, model: str) -> int:
    pid = int(engine.residents()[model]["pid"])
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_backend_leaves_health_and_the_next_chat_reloads_it(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    dead = kill(engine, "chat-a")
    eventually(lambda: client.names(engine) == {"embed-a"}, "the dead one is not listed")
    assert engine.health()["status"] == "ok"
    assert client.chat(engine, "chat-a").ok
    assert engine.residents()["chat-a"]["pid"] != dead


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_right_after_the_kill_is_answered(engine: Engine, stream: bool) -> None:
    client.loaded(engine, "chat-a")
    kill(engine, "chat-a")
    answer = client.chat(engine, "chat-a", stream=stream)
    assert answer.status_code == 200
    assert "error" not in answer.text


def test_an_answer_in_flight_is_made_again_by_a_new_backend(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=4096)
    with client.background(client.chat, engine, "chat-a", max_tokens=4000) as answer:
        eventually(lambda: engine.residents()["chat-a"]["is_busy"], "the request has begun")
        kill(engine, "chat-a")
    assert answer.result().status_code == 200
    assert answer.result().json()["usage"]["completion_tokens"] > 3000


def test_a_stream_in_flight_ends_with_an_error_and_no_done(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=32768)
    with client.streaming(engine, "chat-a") as stream:
        kill(engine, "chat-a")
        text = stream.rest()
    assert "[DONE]" not in text
    [error] = [chunk for chunk in client.chunks(text) if "error" in chunk]
    known = client.chunks(recorded.body("h10_stream_killed_midway"))[-1]
    recorded.assert_like(error, known)
    details = error["error"]["details"]
    assert (details["code"], details["retryable"]) == ("backend_watchdog_reset", True)


def test_a_killed_daemon_restarts_with_nothing_loaded(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    engine.restart()
    assert client.names(engine) == set()


def test_sigterm_ends_the_daemon_and_its_backends(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    backend = int(engine.residents()["chat-a"]["pid"])
    os.kill(engine.pid, signal.SIGTERM)
    assert engine.process is not None
    engine.process.wait(timeout=60)
    eventually(lambda: not processes.alive(backend), "no backend is left")
    engine.restart()
