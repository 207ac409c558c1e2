"""adapters/probe: one look at lemond, never more than one health read under way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters.probe import Probe
from hal0app.core.residency import Link
from tests.unit.fakes import HandClock, at

RECORDED = Path(__file__).resolve().parents[1] / "data" / "lemond"
HEALTH = json.loads((RECORDED / "b24_health_three_types.json").read_text())["response"]["body"]
SHORT_S = 0.05


class Daemon(ThreadingHTTPServer):
    """A lemond of two paths: what they answer is set by the test; `open` holds health back."""

    daemon_threads = True

    def __init__(self) -> None:
        self.live, self.status, self.body = 200, 200, json.dumps(HEALTH).encode()
        self.config: tuple[int, bytes] = (200, b"{}")
        self.cut = False
        self.open, self.asked = threading.Event(), threading.Event()
        self.open.set()
        self.reads = 0
        self.keys: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        daemon = self.server
        if self.path == "/live":
            return self._say(daemon.live, b"{}")
        if self.path == "/internal/config":
            return self._say(*daemon.config)
        daemon.reads += 1
        daemon.keys.append(self.headers["Authorization"])
        daemon.asked.set()
        daemon.open.wait(20)
        if daemon.cut:
            return self.connection.shutdown(socket.SHUT_RDWR)
        return self._say(daemon.status, daemon.body)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made = Daemon()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.open.set()
    made.shutdown()
    made.server_close()
    thread.join(20)


@pytest.fixture
def clock() -> HandClock:
    return HandClock(100.0)


@pytest.fixture
def probe(daemon: Daemon, clock: HandClock) -> Probe:
    return Probe(daemon.url, clock, timeout_s=20)


class Impatient(Probe):
    """Waits for health a moment only; whether lemond lives it knows without asking, so that no test is a race."""

    def __init__(self, daemon: Daemon, clock: HandClock) -> None:
        super().__init__(daemon.url, clock, timeout_s=SHORT_S)
        self._daemon = daemon

    def ping(self) -> Link:
        return {200: Link.BUSY, 500: Link.SILENT}.get(self._daemon.live, Link.DOWN)


def test_a_look_tells_what_is_resident_and_when_it_began(probe: Probe) -> None:
    told = probe.look()
    assert (told.link, told.taken, told.models()) == (Link.UP, at(100.0), {"gemma-a", "embed-a", "rerank-a"})


def test_a_look_carries_the_boot(daemon: Daemon, clock: HandClock) -> None:
    assert Probe(daemon.url, clock, 20, boot=lambda: "abc").look().boot == "abc"


@pytest.mark.parametrize("key", [None, "secret"])
def test_the_key_is_sent_when_there_is_one(daemon: Daemon, clock: HandClock, key: str | None) -> None:
    Probe(daemon.url, clock, 20, key).look()
    assert daemon.keys == [key and f"Bearer {key}"]


def test_nothing_that_listens_is_down(clock: HandClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    probe = Probe(f"http://127.0.0.1:{port}", clock, 20)
    assert (probe.look().link, probe.ping(), probe.config()) == (Link.DOWN, Link.DOWN, None)


def test_a_listener_that_says_nothing_is_silent_and_not_gone(clock: HandClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert Probe(f"http://127.0.0.1:{listener.getsockname()[1]}", clock, SHORT_S).look().link is Link.SILENT


def test_a_listener_that_is_not_http_is_silent(clock: HandClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(b"SSH-2.0-OpenSSH_9\r\n")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        assert Probe(f"http://127.0.0.1:{listener.getsockname()[1]}", clock, 20).look().link is Link.SILENT
        thread.join(20)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_live_that_is_not_200_is_silent(daemon: Daemon, probe: Probe, status: int) -> None:
    daemon.live = status
    assert probe.look().link is Link.SILENT
    assert daemon.reads == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"error": "Invalid or missing API key"}'),
        (500, b""),
        (200, b""),
        (200, b"<html>"),
        (200, b"{"),
        (200, b"{}"),
        (200, b"null"[:3]),
        (200, b'{"all_models_loaded": 5}'),
        (200, b'{"all_models_loaded": [{}]}'),
        (200, b'{"all_models_loaded": [], "max_models": 5}'),
        (200, b"\xff\xfe"),
    ],
    ids=ascii,
)
def test_a_health_that_says_nothing_of_use_is_busy_and_the_next_look_tries_again(
    daemon: Daemon, probe: Probe, status: int, body: bytes
) -> None:
    daemon.status, daemon.body = status, body
    assert probe.look().link is Link.BUSY
    daemon.status, daemon.body = 200, json.dumps(HEALTH).encode()
    assert probe.look().link is Link.UP


def test_a_health_cut_off_is_busy(daemon: Daemon, probe: Probe) -> None:
    daemon.cut = True
    assert probe.look().link is Link.BUSY


def test_a_late_health_is_busy_and_is_never_asked_twice(daemon: Daemon, clock: HandClock) -> None:
    probe = Impatient(daemon, clock)
    daemon.open.clear()
    for _ in range(5):
        assert probe.look().link is Link.BUSY
        clock.pass_s(1)
    assert daemon.asked.wait(20)
    assert daemon.reads == 1


def test_a_late_answer_counts_from_when_it_was_asked(daemon: Daemon, clock: HandClock) -> None:
    probe = Impatient(daemon, clock)
    daemon.open.clear()
    assert probe.look().link is Link.BUSY
    clock.pass_s(60)
    daemon.open.set()
    for _ in range(400):
        told = probe.look()
        if told.fresh:
            break
    assert (told.link, told.taken, daemon.reads) == (Link.UP, at(100.0), 1)


def test_after_a_late_answer_the_next_look_is_a_new_one(daemon: Daemon, clock: HandClock) -> None:
    probe = Impatient(daemon, clock)
    daemon.open.clear()
    probe.look()
    daemon.open.set()
    for _ in range(400):
        if probe.look().fresh:
            break
    clock.pass_s(60)
    for _ in range(400):
        told = probe.look()
        if told.fresh:
            break
        clock.pass_s(1)
    assert told.taken.tick >= 160
    assert daemon.reads == 2


def test_a_lemond_that_dies_while_health_is_late_is_down(daemon: Daemon, clock: HandClock) -> None:
    probe = Impatient(daemon, clock)
    daemon.open.clear()
    assert probe.look().link is Link.BUSY
    daemon.live = 500
    assert probe.look().link is Link.SILENT


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, b'{"max_loaded_models": 8}'), {"max_loaded_models": 8}),
        ((200, b"[]"), None),
        ((200, b"{"), None),
        ((401, b"{}"), None),
        ((500, b""), None),
    ],
    ids=str,
)
def test_the_configuration_is_a_table_or_not_told(
    daemon: Daemon, probe: Probe, answer: tuple[int, bytes], told: dict[str, Any] | None
) -> None:
    daemon.config = answer
    assert probe.config() == told


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_apart_from_being_busy(daemon: Daemon, status: int) -> None:
    daemon.status = status
    seen = Probe(daemon.url, HandClock(), 20.0).look()
    assert (seen.link, seen.locked_out) == (Link.BUSY, True)
