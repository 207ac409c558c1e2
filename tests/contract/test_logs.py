"""The log as it is written, over a WebSocket: the lines that hal0 takes as evidence, in their order."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import websocket

from hal0app.core.lemond_log import LogReader, Wipe
from tests.contract import client, recorded
from tests.support.engines import Engine

# What hal0 reads, as on 2026.39.1: the part of lemond that says it, and the words.
TOLD = re.compile(
    r"\((Router|LlamaCpp)\) (Loading model: |Backend load failed: |Load failed with|Evict|Retry also|Failed to load|"
    r"Model loaded successfully|Unload |Slot limit reached|Options changed|Pruning).*"
)


class Follower:
    """A subscribed stream: its snapshot, and what comes."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self.snapshot = self.frame()

    def frame(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._socket.recv())
        return told

    def until(self, last: str) -> list[str]:
        """The telling part of every line that hal0 reads, up to and with the one that begins with `last`."""
        said: list[str] = []
        while not said or not said[-1].startswith(last):
            found = TOLD.search(self.frame()["entry"]["line"])
            said += [found[0]] if found else []
        return said


@contextmanager
def following(engine: Engine) -> Iterator[Follower]:
    socket = websocket.create_connection(f"ws://127.0.0.1:{engine.port}/logs/stream", timeout=60)
    try:
        socket.send(json.dumps({"type": "logs.subscribe"}))
        yield Follower(socket)
    finally:
        socket.close()


def test_a_snapshot_comes_first_and_then_every_line_as_an_entry(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    with following(engine) as log:
        assert log.snapshot["type"] == "logs.snapshot"
        told = [one["line"] for one in log.snapshot["entries"]]
        assert any("(Router) Model loaded successfully" in line for line in told)
        client.loaded(engine, "chat-b")
        entry = log.frame()
    known = recorded.events("m01_logs_stream_http_port")[1]
    assert entry["type"] == known["type"] == "logs.entry"
    assert set(entry["entry"]) == set(known["entry"])
    assert entry["entry"]["seq"] > log.snapshot["entries"][-1]["seq"]


def test_what_is_no_subscription_is_refused_and_waited_on(engine: Engine) -> None:
    socket = websocket.create_connection(f"ws://127.0.0.1:{engine.port}/logs/stream", timeout=60)
    socket.send(json.dumps({"type": "hello"}))
    refusal = json.loads(socket.recv())
    assert refusal == recorded.events("m01_logs_stream_http_port")[-1]
    socket.close()


def test_a_wipe_is_told_from_its_trigger_to_its_end(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    with following(engine) as log:
        assert client.load(engine, "broken").status_code == 500
        told = log.until("(Router) Failed to load model")
    evictions = [line for line in told if line.startswith("(Router) Evict") and "model: " in line]
    assert sorted(evictions) == [
        "(Router) Evicted model: extra.chat-a",
        "(Router) Evicted model: user.embed-a",
        "(Router) Evicting model: extra.chat-a",
        "(Router) Evicting model: user.embed-a",
    ]
    assert [line for line in told if line not in evictions] == [
        "(LlamaCpp) Loading model: extra.broken",
        "(Router) Backend load failed: llama-server failed to start",
        "(Router) Load failed with non-file-not-found error, evicting all models and retrying...",
        "(Router) Evicting all models (2 total)",
        "(Router) Evict all completed. Remaining tombstoned models: 0",
        "(LlamaCpp) Loading model: extra.broken",
        "(Router) Retry also failed: llama-server failed to start",
        "(Router) Failed to load model: llama-server failed to start",
    ]


def read_by_hal0(told: list[str]) -> list[Wipe]:
    reader = LogReader()
    return [wipe for line in told if (wipe := reader.read(line))]


def test_hal0_reads_the_wipe_out_of_it(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "embed-a")
    with following(engine) as log:
        assert client.load(engine, "chat-b", llamacpp_backend="bogus").status_code == 500
        last = read_by_hal0(log.until("(Router) Failed to load model"))[-1]
    assert (last.trigger, last.over, set(last.victims)) == ("chat-b", True, {"chat-a", "embed-a"})
    assert last.cause.startswith("'llamacpp.backend' must be one of:")


def test_other_departures_are_told_and_are_no_wipe(engine: Engine) -> None:
    client.loaded(engine, "chat-a", "chat-b")
    with following(engine) as log:
        client.loaded(engine, "chat-c")
        by_lru = log.until("(Router) Model loaded successfully")
        client.loaded(engine, "chat-c", ctx_size=2048)
        by_reload = log.until("(Router) Model loaded successfully")
        assert client.post(engine, "/v1/unload", {"model_name": "chat-c"}).ok
        by_name = log.until("(Router) Evicted model")
        assert client.post(engine, "/v1/unload", {}).ok
        by_all = log.until("(Router) Evict all completed")
    gone = ["(Router) Evicting model: extra.chat-c", "(Router) Evicted model: extra.chat-c"]
    assert by_lru[:3] == [
        "(Router) Slot limit reached for pool standard/llm, evicting LRU: extra.chat-a",
        "(Router) Evicting model: extra.chat-a",
        "(Router) Evicted model: extra.chat-a",
    ]
    assert by_reload[:3] == ["(Router) Options changed, reloading model: extra.chat-c", *gone]
    assert by_name == ["(Router) Unload model called: chat-c", *gone]
    assert by_all == [
        "(Router) Unload all models called",
        "(Router) Evicting all models (1 total)",
        "(Router) Evicting model: extra.chat-b",
        "(Router) Evicted model: extra.chat-b",
        "(Router) Evict all completed. Remaining tombstoned models: 0",
    ]
    assert read_by_hal0([*by_lru, *by_reload, *by_name, *by_all]) == []


def test_a_dead_backend_is_told_when_it_is_buried(engine: Engine) -> None:
    client.loaded(engine, "chat-a")
    with following(engine) as log:
        os.kill(int(engine.residents()["chat-a"]["pid"]), signal.SIGKILL)
        assert client.chat(engine, "chat-a").ok
        told = log.until("(Router) Model loaded successfully")
    assert told[0].startswith("(Router) Pruning unavailable backend for model: extra.chat-a (state=")
