"""Clients that want more than their share: they end, and nobody else waits for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests

from tests.relay.client import Answer, Client
from tests.relay.conftest import HELD_MB, STALL_S
from tests.relay.upstream import OK, Exchange, Upstream
from tests.support.app import App

ENDLESS = {"Content-Length": str(100_000_000_000), "Content-Type": "application/json"}
CHUNKED = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def for_ever(work: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Do it again and again in a thread, until the connection ends or the test does."""
    over = threading.Event()

    def run() -> None:
        with suppress(OSError):
            while not over.is_set():
                work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        over.set()


def refused(answer: Answer) -> str:
    assert answer.headers["connection"] == "close"
    code: str = json.loads(answer.body)["error"]["code"]
    return code


@pytest.mark.parametrize(
    ("path", "headers", "block", "code"),
    [
        ("/v1/load", ENDLESS, bytes(1 << 16), "auth.admin_required"),
        ("/v1/chat/completions", ENDLESS, bytes(1 << 16), "request.too_large"),
        ("/v1/chat/completions", CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n", "request.too_large"),
        ("/nowhere", ENDLESS, bytes(1 << 16), "request.not_found"),
    ],
    ids=["forbidden", "announced", "in-chunks", "nowhere"],
)
def test_a_refused_upload_ends_with_its_connection(
    client: Client, path: str, headers: dict[str, str], block: bytes, code: str
) -> None:
    client.send("none", "POST", path, headers=headers)
    with for_ever(lambda: client.socket.sendall(block)) as sender:
        assert refused(client.answer()) == code
        sender.join(30)
        assert not sender.is_alive(), "it may send for ever"


def test_a_small_body_that_was_not_wanted_costs_no_connection(client: Client) -> None:
    client.send("none", "POST", "/v1/load", b"{}")
    assert client.answer().status == 403
    assert client.is_open()


def test_who_pipelines_without_an_end_keeps_nobody_waiting(over_the_socket: App) -> None:
    with (
        Client(over_the_socket.port) as greedy,
        for_ever(lambda: greedy.socket.recv(1 << 16)),
        for_ever(lambda: greedy.socket.sendall(HEALTH * 500)),
    ):
        for _ in range(5):
            assert requests.get(f"{over_the_socket.url}/healthz", timeout=30).ok


def test_who_does_not_read_hal0s_own_answers_is_cut_off(over_the_socket: App) -> None:
    with Client(over_the_socket.port, receive_buffer=4096) as client:
        client.socket.settimeout(STALL_S * 10)
        request = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of them meets it nobody knows
            while True:
                client.socket.sendall(request)


def test_connections_that_were_idle_for_too_long_are_no_fault_of_hal0s(
    over_the_socket: App, upstream: Upstream
) -> None:
    said = over_the_socket.log.stat().st_size
    nothing, half, used, plain = (Client(over_the_socket.port) for _ in range(4))
    half.socket.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.")
    used.socket.sendall(HEALTH)
    plain.chat(upstream.answer(OK + b"Content-Length: 2\r\n\r\n{}"))
    used.answer(), plain.answer()
    for one in (nothing, half, used, plain):
        assert one.rest() == b""
        one.socket.close()
    assert over_the_socket.log.read_bytes()[said:].count(b"Traceback") == 0


def test_a_million_keys_are_refused_at_once(over_the_socket: App) -> None:
    body = json.dumps({"model": "primary", **{f"k{number}": 0 for number in range(400_000)}}).encode()
    with Client(over_the_socket.port) as client:  # made before: that may take all of KEEP_ALIVE_S
        client.send("none", "POST", "/v1/chat/completions", body, headers={"Content-Type": "application/json"})
        answer = client.answer()
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (400, "request.invalid_json")
    assert "1000 keys" in error["message"]


def test_a_long_chat_is_no_body_of_many_keys(over_the_socket: App, upstream: Upstream) -> None:
    told = [{"role": "user", "content": '{"a": {"b": "\\n"}}' * 20}] * 5000
    body = json.dumps({"model": "primary", "messages": told}).encode()
    name = upstream.answer(OK + b"Content-Length: 2\r\n\r\n{}")
    with Client(over_the_socket.port) as client:
        client.send(name, "POST", "/v1/chat/completions", body, headers={"Content-Type": "application/json"})
        assert client.answer().status == 200


def test_a_body_of_tiny_chunks_keeps_nobody_waiting(over_the_socket: App, upstream: Upstream) -> None:
    name = upstream.answer(OK + b"Content-Length: 2\r\n\r\n{}")
    before, after = b'{"model": "primary", "messages": [{"role": "user", "content": "', b'"}]}'
    with Client(over_the_socket.port) as client:
        client.send(name, "POST", "/v1/chat/completions", headers=CHUNKED)
        client.socket.sendall(b"%x\r\n%b\r\n" % (len(before), before))
        with for_ever(lambda: client.socket.sendall(b"1\r\nx\r\n" * 10_000)) as sender:
            for _ in range(3):
                assert requests.get(f"{over_the_socket.url}/healthz", timeout=30).ok
        sender.join(30)
        client.socket.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(after), after))
        assert client.answer().status == 200


def test_bodies_that_wait_for_their_answer_take_no_more_than_their_room(
    over_the_socket: App, upstream: Upstream
) -> None:
    go_on, there = threading.Event(), threading.Semaphore(0)

    def play(exchange: Exchange) -> None:
        there.release()
        go_on.wait(60)
        left = int(exchange.header("Content-Length") or 0)
        while left:
            left -= len(exchange.some())
        exchange.say(OK + b"Content-Length: 2\r\n\r\n{}")

    def ask(script: str) -> requests.Response:
        return requests.post(url, data=body, headers={"X-Script": script}, timeout=120)

    url, fitting = f"{over_the_socket.url}/v1/chat/completions", 2
    text = "x" * ((HELD_MB << 20) // fitting - 1000)
    body = json.dumps({"model": "primary", "messages": [{"role": "user", "content": text}]})
    with ThreadPoolExecutor(fitting) as pool:
        try:
            waiting = [pool.submit(ask, upstream.on_request(play)) for _ in range(fitting)]
            for _ in waiting:
                assert there.acquire(timeout=60)
            late = ask("none")
        finally:
            go_on.set()
        assert [one.result().status_code for one in waiting] == [200] * fitting
    assert (late.status_code, late.json()["error"]["code"]) == (503, "system.overloaded")
    assert int(late.headers["Retry-After"]) > 0
    assert ask(upstream.answer(OK + b"Content-Length: 2\r\n\r\n{}")).status_code == 200


def test_a_body_that_ends_before_its_length_is_never_served(client: Client, upstream: Upstream) -> None:
    def play(exchange: Exchange) -> None:
        raise AssertionError("it was sent on")

    body = json.dumps({"model": "primary", "messages": [{"role": "user", "content": "x"}]}).encode()
    headers = {"Content-Length": str(len(body) + 100)}
    client.send(upstream.on_request(play), "POST", "/v1/chat/completions", body, headers=headers)
    client.socket.shutdown(1)
    assert b"200 OK" not in client.rest()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/audio/transcriptions", "/api/slots"])
def test_a_packed_body_is_refused_with_what_to_do(client: Client, path: str) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    client.send("none", "POST", path, b"\x1f\x8b\x08\x00", headers=headers)
    answer = client.answer()
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (415, "request.unsupported_media_type")
    assert "without that header" in error["message"]
