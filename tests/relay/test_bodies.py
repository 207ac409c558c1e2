"""The body a client gets is the body the upstream sent, however it was framed and cut, over both ways."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.client import Answer, Client
from tests.relay.upstream import OK, STREAM, Exchange, Upstream, chunked
from tests.support.app import App

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\n"


ERROR = b'{"error": {"message": "no", "type": "server_error", "code": "oops", "param": null}}'


def ask(app: App, name: str, method: str = "GET", **how: str) -> Answer:
    with Client(app.port) as client:
        client.send(name, method, **how)
        return client.answer(method)


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (SIZED + b"hello", 200, b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b""),
        (CHUNKED + chunked(b"hello", b" ", b"world"), 200, b"hello world"),
        (CHUNKED + chunked(b"hello", b"world", extension=b";name=value"), 200, b"helloworld"),
        (CHUNKED + chunked(b"hello", trailers=b"X-Sum: 1\r\nX-More: 2\r\n"), 200, b"hello"),
        (CHUNKED + chunked(), 200, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + SIZED + b"hello", 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%s" % (len(ERROR), ERROR), 500, ERROR),
    ],
    ids=[*("sized", "empty", "chunked", "extensions", "trailers", "no-chunk", "interim", "204", "304", "500")],
)
@pytest.mark.parametrize("bytewise", [False, True], ids=["at-once", "byte-by-byte"])
def test_a_body_comes_through_in_every_framing(
    app: App, upstream: Upstream, said: bytes, status: int, body: bytes, bytewise: bool
) -> None:
    pieces = [said[n : n + 1] for n in range(len(said))] if bytewise else [said]
    answer = ask(app, upstream.answer(*pieces))
    assert (answer.status, answer.body, answer.whole) == (status, body, True)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_that_ends_with_its_connection_comes_through(app: App, upstream: Upstream, version: str) -> None:
    answer = ask(app, upstream.answer(OK + b"\r\nhello", b" world", keep=False), version=version)
    assert (answer.status, answer.body) == (200, b"hello world")


def test_an_old_client_is_sent_no_chunks(over_the_socket: App, upstream: Upstream) -> None:
    answer = ask(over_the_socket, upstream.answer(CHUNKED + chunked(b"hello", b"world")), version="1.0")
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"helloworld"


def test_a_head_request_gets_the_head(app: App, upstream: Upstream) -> None:
    answer = ask(app, upstream.answer(OK + b"Content-Length: 5\r\n\r\n"), "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_a_compressed_body_is_passed_on_as_it_is(app: App, upstream: Upstream) -> None:
    packed = gzip.compress(b"hello" * 1000)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    answer = ask(app, upstream.answer(head + packed))
    assert (answer.headers["content-encoding"], answer.body) == ("gzip", packed)


def test_headers_come_through_as_often_as_they_were_sent(app: App, upstream: Upstream) -> None:
    answer = ask(
        app, upstream.answer(OK + b"X-A: 1\r\nX-B: \xe4\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n")
    )
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("1", "\xe4")
    assert "keep-alive" not in answer.headers


@pytest.mark.parametrize(
    "said",
    [
        OK + b"X-A: 1\rX-Evil: 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: 1\nX-Evil: 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: 1\0\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: 1\r\n X-Evil: 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"X Evil: 2\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Content-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n" + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
    ids=[
        *("cr", "lf", "nul", "folded", "space-in-name", "two-lengths", "length-and-chunks", "other-coding"),
        *("signed-length", "bare-lf", "switch"),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_never_reaches_the_client(
    app: App, upstream: Upstream, said: bytes
) -> None:
    answer = ask(app, upstream.answer(said, keep=False))
    assert answer.status == 502
    assert b"upstream.protocol" in answer.body
    assert not any("evil" in f"{name}{value}".lower() for name, value in answer.headers.items())


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n5"])
def test_a_body_that_breaks_off_is_broken_off_for_the_client(app: App, upstream: Upstream, cut: bytes) -> None:
    answer = ask(app, upstream.answer(CHUNKED + cut, keep=False))
    assert not answer.whole
    assert b"hello".startswith(answer.body)


def test_a_sized_body_that_breaks_off_is_broken_off_for_the_client(app: App, upstream: Upstream) -> None:
    answer = ask(app, upstream.answer(SIZED + b"hel", keep=False))
    assert not answer.whole


cuts = st.lists(st.integers(0, 2000), max_size=12)
payloads = st.lists(st.binary(min_size=1, max_size=200), max_size=8)
extensions = st.sampled_from([b"", b";a", b" ; a=b", b';a="b c"'])
trailers = st.sampled_from([b"", b"X-T: 1\r\n", b"X-T: 1\r\nX-U:\r\n"])


def sliced(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({min(one, len(data)) for one in at}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=payloads, extension=extensions, trailer=trailers, at=cuts)
def test_chunks_come_through_wherever_they_are_cut(
    app: App, upstream: Upstream, parts: list[bytes], extension: bytes, trailer: bytes, at: list[int]
) -> None:
    said = CHUNKED + chunked(*parts, trailers=trailer, extension=extension)
    answer = ask(app, upstream.answer(*sliced(said, at)))
    assert (answer.body, answer.whole) == (b"".join(parts), True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.text(max_size=60), min_size=1, max_size=6), at=cuts)
def test_a_judged_stream_comes_through_wherever_it_is_cut(
    app: App, upstream: Upstream, parts: list[str], at: list[int]
) -> None:
    body = [b": ping\n\n", *(b"data: %s\n\n" % repr(one).encode() for one in parts), b"data: [DONE]\n\n"]
    with Client(app.port) as client:
        client.chat(upstream.answer(*sliced(STREAM + chunked(*body), at)))
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"".join(body))
    assert (answer.headers["x-hal0-slot"], answer.headers["x-hal0-path"]) == ("primary", "direct")


def test_a_big_body_comes_through(app: App, upstream: Upstream) -> None:
    block = bytes(range(256)) * 256

    def play(exchange: Exchange) -> None:
        exchange.say(OK + b"Content-Length: %d\r\n\r\n" % (len(block) * 64))
        for _ in range(64):
            exchange.say(block)

    answer = ask(app, upstream.on_request(play))
    assert answer.body == block * 64
