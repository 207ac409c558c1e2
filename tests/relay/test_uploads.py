"""Bodies of requests on their way through hal0 to lemond."""

from __future__ import annotations

import json
import socket
import threading
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.client import Client
from tests.relay.upstream import OK, Exchange, Upstream, chunked
from tests.support.app import App
from tests.support.waiting import eventually

PATH = "/v1/tokenize"  # what goes to lemond as it comes
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%s\r\n--b--\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def echo(exchange: Exchange) -> None:
    body = exchange.body()
    exchange.say(OK + b"Content-Length: %d\r\n\r\n" % len(body), body)


def test_an_upload_is_sent_on_before_its_end_has_come(client: Client, upstream: Upstream) -> None:
    begun = threading.Event()

    def play(exchange: Exchange) -> None:
        read = b""
        while b"first" not in read:
            read += exchange.some()
        begun.set()
        exchange.rest = read + exchange.rest
        echo(exchange)

    body = FORM % (b"first" + b"x" * 300_000 + b"last")
    client.send(upstream.on_request(play), "POST", PATH, headers={**MULTIPART, "Content-Length": str(len(body))})
    client.socket.sendall(body[:100])
    assert begun.wait(30), "nothing came through before the end"
    client.socket.sendall(body[100:])
    assert client.answer().body == body
    assert client.is_open()


def test_an_upload_in_chunks_is_sent_on_in_chunks(client: Client, upstream: Upstream) -> None:
    begun = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.rest = exchange.some()
        begun.set()
        echo(exchange)

    client.send(upstream.on_request(play), "POST", PATH, headers={"Transfer-Encoding": "chunked"})
    client.socket.sendall(b"5\r\nhello\r\n")
    assert begun.wait(30), "nothing came through before the end"
    client.socket.sendall(b"6\r\n world\r\n0\r\nX-T: 1\r\n\r\n")
    sent = client.answer().body
    assert b"hello" in sent
    assert sent.replace(b"\r\n", b"").endswith(b" world0")
    assert client.is_open()


def test_a_client_that_asks_first_is_told_to_go_on(client: Client, upstream: Upstream) -> None:
    name = upstream.on_request(echo)
    client.send(name, "POST", PATH, headers={"Content-Length": "5", "Expect": "100-continue"})
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.socket.sendall(b"hello")
    assert client.answer().body == b"hello"
    assert upstream.heard[name][0].header("Expect") is None
    assert client.is_open()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(min_size=1, max_size=3000), at=st.lists(st.integers(0, 3000), max_size=6), chunks=st.booleans())
def test_an_upload_arrives_as_it_was_sent_wherever_it_is_cut(
    over_the_socket: App, upstream: Upstream, body: bytes, at: list[int], chunks: bool
) -> None:
    edges = [0, *sorted({min(one, len(body)) for one in at}), len(body)]
    parts = [body[start:end] for start, end in pairwise(edges)]
    told = {"Transfer-Encoding": "chunked"} if chunks else {"Content-Length": str(len(body))}

    def play(exchange: Exchange) -> None:
        read = exchange.body()
        if chunks:
            read = unchunked(read)
        exchange.say(OK + b"Content-Length: %d\r\n\r\n" % len(read), read)

    with Client(over_the_socket.port) as client:
        client.send(upstream.on_request(play), "POST", PATH, headers=told)
        for part in [chunked(*parts)] if chunks else parts:
            client.socket.sendall(part)
        assert client.answer().body == body
        assert client.is_open()


def unchunked(data: bytes) -> bytes:
    payload = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        if not int(line, 16):
            return payload
        payload, data = payload + data[: int(line, 16)], data[int(line, 16) + 2 :]


def test_a_request_behind_an_upload_is_the_next_one(client: Client, upstream: Upstream) -> None:
    name, other = upstream.on_request(echo), upstream.answer(OK + b"Content-Length: 5\r\n\r\nother")
    client.send(name, "POST", PATH, b"hello")
    client.send(other)
    read = client.until(b"other")
    assert read.index(b"hello") < read.index(b"other")


@pytest.mark.parametrize(
    "told", [{"Content-Length": "1000000"}, {"Transfer-Encoding": "chunked"}], ids=["sized", "chunks"]
)
def test_a_client_that_leaves_in_its_upload_ends_the_upstreams_request(
    over_the_socket: App, upstream: Upstream, told: dict[str, str]
) -> None:
    begun, gone = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.some()
        begun.set()
        exchange.hung_up()
        gone.set()

    with Client(over_the_socket.port) as client:
        client.send(upstream.on_request(play), "POST", PATH, headers=told)
        client.socket.sendall(b"5\r\nhello\r\n")
        assert begun.wait(30)
    assert gone.wait(30)


def test_a_client_that_leaves_after_its_upload_ends_the_upstreams_request(
    over_the_socket: App, upstream: Upstream
) -> None:
    heard, gone = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        heard.set()
        exchange.hung_up()
        gone.set()

    with Client(over_the_socket.port) as client:
        client.send(upstream.on_request(play), "POST", PATH, b"hello")
        assert heard.wait(30)
    assert gone.wait(30)


def test_a_client_that_leaves_while_nobody_takes_its_upload_is_noticed(
    over_the_socket: App, upstream: Upstream
) -> None:
    stuck, go_on = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        stuck.set()
        assert go_on.wait(60)
        exchange.hung_up()

    files = eventually(lambda: over_the_socket.get("/relay-test/counts").json()["files"])
    try:
        with Client(over_the_socket.port) as client:
            client.send(upstream.on_request(play), "POST", PATH, headers={"Content-Length": str(1 << 30)})
            client.socket.sendall(b"x")
            assert stuck.wait(30)
            client.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                send_for_ever(client)
            # An end in good order would wait behind what nobody takes.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        eventually(lambda: over_the_socket.get("/relay-test/counts").json()["files"] <= files, "both are closed")
    finally:
        go_on.set()


def send_for_ever(client: Client) -> None:
    while True:
        client.socket.sendall(bytes(65536))


@pytest.mark.parametrize("sent", [b"", b"hel"], ids=["nothing", "a-part"])
def test_an_upload_that_stalls_is_refused_and_lemond_is_free(client: Client, upstream: Upstream, sent: bytes) -> None:
    gone = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.hung_up()
        gone.set()

    name = upstream.on_request(play)
    client.send(name, "POST", PATH, headers={"Content-Length": "5"})
    client.socket.sendall(sent)
    answer = client.answer()
    assert answer.status == 408
    assert json.loads(answer.body)["error"]["code"] == "request.timeout"
    if sent:
        assert gone.wait(30)
    else:
        assert upstream.heard[name] == [], "lemond was asked before anything was there to be sent"
    assert client.rest() == b""


def test_a_json_body_that_stalls_is_refused(client: Client, upstream: Upstream) -> None:
    client.send("none", "POST", "/v1/chat/completions", headers={"Content-Length": "50"})
    client.socket.sendall(b'{"model": ')
    assert client.answer().status == 408
    assert client.rest() == b""


@pytest.mark.parametrize("goes_on", [True, False], ids=["sends-on", "waits"])
@pytest.mark.parametrize("keep", [True, False], ids=["stays", "closes"])
def test_an_answer_before_the_upload_is_through_reaches_the_client(
    client: Client, upstream: Upstream, keep: bool, goes_on: bool
) -> None:
    said, done = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.some()
        exchange.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        said.set()
        if keep:
            done.wait(30)
        exchange.keep = False

    client.send(upstream.on_request(play), "POST", PATH, headers={"Content-Length": str(8 << 20)})
    client.socket.sendall(bytes(1 << 16))
    assert said.wait(30)
    if goes_on:
        client.socket.sendall(bytes(1 << 16))
    answer = client.answer()
    done.set()
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (413, "no")
    assert answer.headers["connection"] == "close"


def test_an_upload_is_read_no_faster_than_lemond_takes_it(client: Client, upstream: Upstream) -> None:
    go_on = threading.Event()

    def play(exchange: Exchange) -> None:
        assert go_on.wait(60)
        total = 0
        while total < size:
            total += len(exchange.some())
        exchange.say(OK + b"Content-Length: %d\r\n\r\n" % len(str(total)), str(total).encode())

    size = 64 << 20
    client.send(upstream.on_request(play), "POST", PATH, headers={"Content-Length": str(size)})
    client.socket.settimeout(2)
    sent = 0
    block = bytes(1 << 16)
    try:
        while sent < size:
            sent += client.socket.send(block[: size - sent])
    except TimeoutError:
        pass
    assert sent < size // 2, "the upload was swallowed"
    client.socket.settimeout(60)
    go_on.set()
    while sent < size:
        sent += client.socket.send(block[: size - sent])
    assert client.answer().body == str(size).encode()


def test_what_follows_a_body_that_breaks_http_is_no_request(client: Client, upstream: Upstream) -> None:
    client.send(
        upstream.answer(OK + b"Content-Length: 0\r\n\r\n"), "POST", PATH, headers={"Transfer-Encoding": "chunked"}
    )
    client.socket.sendall(b"5\r\nhello\r\nzz\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = client.answer()
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "request.invalid_field")
    assert client.rest() == b""
