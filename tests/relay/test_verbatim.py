"""Over gunicorn's socket: the very bytes of the upstream, and connections that can be used again, on both sides."""

from __future__ import annotations

import threading

import pytest

from tests.relay.client import Client
from tests.relay.upstream import OK, STREAM, Exchange, Upstream, chunked
from tests.support.app import App
from tests.support.waiting import eventually

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ODD = chunked(b"hello", b"world", extension=b';a="b"', trailers=b"X-Sum: 1\r\n")


def raw_body(client: Client, name: str, end: bytes, **how: str) -> bytes:
    client.send(name, **how)
    return client.until(end).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("bytewise", [False, True], ids=["at-once", "byte-by-byte"])
def test_chunks_extensions_and_trailers_pass_as_they_came(client: Client, upstream: Upstream, bytewise: bool) -> None:
    said = CHUNKED + ODD
    name = upstream.answer(*([said[n : n + 1] for n in range(len(said))] if bytewise else [said]))
    assert raw_body(client, name, ODD[-12:]) == ODD


def test_a_connection_serves_answers_of_every_kind_in_turn(client: Client, upstream: Upstream) -> None:
    sized = upstream.answer(OK + b"Content-Length: 5\r\n\r\nhello")
    in_chunks = upstream.answer(CHUNKED + ODD)
    until_close = upstream.answer(OK + b"\r\nhello", keep=False)
    empty = upstream.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    stream = upstream.answer(STREAM + chunked(b"data: 1\n\n", b"data: [DONE]\n\n"))
    for _ in range(10):
        for name, body in ((sized, b"hello"), (in_chunks, b"helloworld"), (until_close, b"hello"), (empty, b"")):
            client.send(name)
            answer = client.answer()
            assert (answer.body, answer.whole) == (body, True)
        client.chat(stream)
        assert client.answer().body == b"data: 1\n\ndata: [DONE]\n\n"
        client.send(sized, "HEAD")
        assert client.answer("HEAD").headers["content-length"] == "5"
    assert client.is_open()


def test_a_request_that_is_sent_before_the_first_answer_ends_is_answered_after_it(
    client: Client, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.say(CHUNKED + b"5\r\nfirst\r\n")
        assert go_on.wait(30)
        exchange.say(b"4\r\nmore\r\n0\r\n\r\n")

    first, second = upstream.on_request(play), upstream.answer(OK + b"Content-Length: 6\r\n\r\nsecond")
    client.send(first)
    read = client.until(b"first")
    client.send(second)
    client.send(second, "HEAD")
    go_on.set()
    read = client.until(b"second", read)
    assert read.count(b"HTTP/1.1 200 OK") in (2, 3)
    assert read.index(b"4\r\nmore\r\n0\r\n\r\nHTTP/1.1 200 OK") < read.index(b"second")
    client.until(b"\r\n\r\n", read.partition(b"second")[2])
    assert client.is_open()


def test_a_client_that_leaves_behind_a_request_nobody_reads_yet_is_noticed(
    over_the_socket: App, upstream: Upstream
) -> None:
    gone = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.say(CHUNKED + b"5\r\nfirst\r\n")
        exchange.hung_up()
        gone.set()

    with Client(over_the_socket.port) as client:
        client.send(upstream.on_request(play))
        client.until(b"first")
        client.send("unread")
    assert gone.wait(30)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "keep-alive", True)],
)
def test_a_connection_stays_as_the_client_wishes(
    client: Client, upstream: Upstream, version: str, connection: str, stays: bool
) -> None:
    headers = {"Connection": connection} if connection else {}
    client.send(upstream.answer(OK + b"Content-Length: 5\r\n\r\nhello"), version=version, headers=headers)
    answer = client.answer()
    assert answer.body == b"hello"
    assert answer.headers.get("connection") == ("close" if not stays else "keep-alive" if version == "1.0" else None)
    if stays:
        assert client.is_open()
    else:
        assert client.rest() == b""


def test_an_old_client_that_wants_to_stay_is_closed_when_only_that_ends_its_body(
    client: Client, upstream: Upstream
) -> None:
    name = upstream.answer(CHUNKED + ODD)
    client.send(name, version="1.0", headers={"Connection": "keep-alive"})
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert body == b"helloworld"


# -- the upstream's side


def test_connections_to_the_upstream_are_used_again(client: Client, upstream: Upstream) -> None:
    peers = set()

    def play(exchange: Exchange) -> None:
        peers.add(exchange.peer)
        exchange.say(CHUNKED + ODD)

    name = upstream.on_request(play)
    for _ in range(20):
        client.send(name)
        assert client.answer().body == b"helloworld"
    assert len(peers) < 20


@pytest.mark.parametrize(
    "said",
    [
        OK + b"Content-Length: 5\r\n\r\nhello and more",
        CHUNKED + ODD + b"more",
        b"HTTP/1.1 204 No Content\r\n\r\nmore",
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["after-its-length", "after-its-chunks", "after-no-body", "told"],
)
def test_a_connection_that_is_not_clean_is_not_used_again(client: Client, upstream: Upstream, said: bytes) -> None:
    name = upstream.answer(said)
    for _ in range(3):
        client.send(name)
        answer = client.answer()
        assert answer.whole
        assert b"more" not in answer.body
    assert len({exchange.peer for exchange in upstream.heard[name]}) == 3


def test_a_request_that_meets_a_connection_closed_meanwhile_is_sent_again(client: Client, upstream: Upstream) -> None:
    """The upstream ends the connection at the very moment the second request comes."""
    seen = []

    def play(exchange: Exchange) -> None:
        seen.append(exchange.peer)
        if len(seen) == 2 and seen[0] is seen[1]:
            exchange.keep = False
            return
        exchange.say(OK + b"Content-Length: 5\r\n\r\nhello")

    name = upstream.on_request(play)
    for _ in range(2):
        client.send(name)
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"hello")
    assert len(seen) in (2, 3)


def test_at_most_four_connections_to_lemond_are_kept(over_the_socket: App, upstream: Upstream) -> None:
    together = threading.Barrier(12)

    def play(exchange: Exchange) -> None:
        together.wait(30)
        exchange.say(OK + b"Content-Length: 5\r\n\r\nhello")

    name = upstream.on_request(play)
    clients = [Client(over_the_socket.port) for _ in range(12)]
    try:
        for one in clients:
            one.send(name)
        assert [one.answer().body for one in clients] == [b"hello"] * 12
        eventually(lambda: len(upstream.scripted) <= 4, "the others are closed")
        eventually(lambda: not upstream.scripted, "and these before lemond would close them", within=20)
    finally:
        for one in clients:
            one.socket.close()
