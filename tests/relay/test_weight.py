"""What a relayed answer weighs while it runs, and what it leaves behind: nothing."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

import pytest

from tests.relay.client import Client
from tests.relay.upstream import OK, STREAM, Exchange, Upstream
from tests.support import processes
from tests.support.app import App
from tests.support.waiting import eventually

BLOCK = bytes(1 << 16)
EVENT = b"data: {}\n\n"
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
MB = 1 << 20


def worker_memory(app: App) -> int:
    assert app.process is not None
    (worker,) = processes.children(app.process.pid)
    return processes.resident_bytes(worker)


def test_a_hundred_megabytes_pass_without_being_kept(over_the_socket: App, upstream: Upstream) -> None:
    size = 100 * MB

    def play(exchange: Exchange) -> None:
        exchange.say(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(BLOCK)):
            exchange.say(BLOCK)

    with Client(over_the_socket.port) as client:
        client.send(upstream.on_request(play))
        client.until(b"\r\n\r\n")
        before, read, most = worker_memory(over_the_socket), 0, 0
        while read < size - MB:
            read += len(client.socket.recv(1 << 20))
            if read // (10 * MB) != (read - MB) // (10 * MB):
                most = max(most, worker_memory(over_the_socket))
    assert most - before < 8 * MB


def test_a_slow_reader_slows_the_upstream_down(over_the_socket: App, upstream: Upstream) -> None:
    said, size = [0], 256 * MB

    def play(exchange: Exchange) -> None:
        exchange.say(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(BLOCK)):
            exchange.say(BLOCK)
            said[0] += len(BLOCK)

    with Client(over_the_socket.port, receive_buffer=1 << 16) as client:
        client.send(upstream.on_request(play))
        client.until(b"\r\n\r\n")
        before = worker_memory(over_the_socket)
        stuck = eventually(lambda: said[0] if stands_still(said) else None)
        assert stuck < size // 2
        assert worker_memory(over_the_socket) - before < 4 * MB
        read = 0
        while read < size - MB:
            read += len(client.socket.recv(1 << 20))


def stands_still(counter: list[int]) -> bool:
    before = counter[0]
    threading.Event().wait(0.5)
    return counter[0] == before > 0


STAGES = ("head", "first event", "stream", "beats", "upload", "unread", "end")


def leave(app: App, upstream: Upstream, stage: str, reset: bool) -> None:
    """Have a client that leaves at that stage."""
    reached = threading.Event()

    def play(exchange: Exchange) -> None:
        if stage != "upload":
            exchange.body()
        if stage != "head":
            exchange.say(STREAM)
        if stage in ("stream", "unread", "end"):
            exchange.say(CHUNK * (20_000 if stage == "unread" else 1))
        if stage == "end":
            exchange.say(b"0\r\n\r\n")
        reached.set()
        if stage != "end":
            exchange.hung_up()

    name = upstream.on_request(play)
    with Client(app.port) as client:
        if stage == "upload":
            client.send(name, "POST", "/v1/tokenize", headers={"Content-Length": "1000"})
            client.socket.sendall(b"x")
        elif stage == "beats":
            client.chat(name, X_Beats="2", X_Beat_S="0.1")
            client.until(b"0s")
            reached.set()
        else:
            client.chat(name)
        assert reached.wait(30)
        if reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def left_behind(app: App) -> dict[str, int]:
    found: dict[str, int] = app.get("/relay-test/counts").json()
    return found


@pytest.mark.parametrize("seed", range(2))
def test_fifty_clients_that_leave_at_any_stage_leave_nothing_behind(
    over_the_socket: App, upstream: Upstream, seed: int
) -> None:
    app, chance = over_the_socket, random.Random(seed)
    for stage in STAGES:
        leave(app, upstream, stage, reset=False)
    eventually(lambda: not upstream.scripted, "the upstream is left alone")
    before = eventually(lambda: left_behind(app))

    def some() -> None:
        for _ in range(10):
            stage = chance.choice(STAGES)
            with suppress(ConnectionError):
                leave(app, upstream, stage, reset=chance.random() < 0.5)

    threads = [threading.Thread(target=some) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    eventually(lambda: app.slot("primary")["in_flight"] == 0, "no request is in flight")
    eventually(lambda: not upstream.scripted, "no connection to the upstream is left")

    def as_before() -> bool:
        now = left_behind(app)
        return all(now[what] <= before[what] for what in before)

    eventually(as_before, f"no more of anything than {before}", within=30)
