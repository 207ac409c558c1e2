"""How answers end that do not end well, and what a client is told."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.relay.client import Client, events
from tests.relay.conftest import PLAIN_WSGI, STALL_S
from tests.relay.upstream import OK, STREAM, Exchange, Upstream
from tests.support.app import App
from tests.support.waiting import eventually

EVENT = b'data: {"choices": []}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
HALF = b"%x\r\n%s\r\n" % (len(EVENT) - 1, EVENT[:-1])


def idle(app: App) -> bool:
    return bool(app.slot("primary")["in_flight"] == 0)


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def test_a_stream_that_breaks_between_events_and_chunks_ends_with_an_error(client: Client, upstream: Upstream) -> None:
    client.chat(upstream.answer(STREAM + CHUNK, CHUNK, keep=False))
    answer = client.answer()
    assert answer.whole
    told = events(answer.body)
    assert told[:2] == [{"choices": []}] * 2
    assert told[2]["error"]["code"] == "upstream.protocol"
    assert len(told) == 3
    assert client.is_open()


@pytest.mark.parametrize(
    "said",
    [CHUNK + HALF, CHUNK + CHUNK[:-2], CHUNK + CHUNK[:-9], CHUNK + b"1", CHUNK + b"0\r\n"],
    ids=["in-an-event", "before-a-chunks-end", "in-a-chunk", "in-a-size", "in-the-trailers"],
)
def test_a_stream_that_breaks_elsewhere_is_cut(client: Client, upstream: Upstream, said: bytes) -> None:
    client.chat(upstream.answer(STREAM + said, keep=False))
    body = client.rest().partition(b"\r\n\r\n")[2]
    assert body == said
    assert b"error" not in body
    assert not body.endswith(b"0\r\n\r\n")


def second_piece(client: Client, upstream: Upstream, piece: bytes) -> None:
    """Have a stream whose second piece, read on its own, is this one."""
    go_on = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM + CHUNK)
        assert go_on.wait(30)
        exchange.say(piece)
        exchange.keep = False

    client.chat(upstream.on_request(play))
    client.until(CHUNK)
    go_on.set()


def test_nonsense_after_a_whole_chunk_is_an_error_like_a_break(client: Client, upstream: Upstream) -> None:
    second_piece(client, upstream, b"no size\r\n")
    body = client.until(b"\n0\r\n\r\n")
    assert b"upstream.protocol" in body
    assert b"no size\r\n" not in body


def test_nonsense_in_the_middle_of_an_event_gets_no_error_put_in_though_it_ends_like_one(
    client: Client, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM + CHUNK + HALF)
        assert go_on.wait(30)
        exchange.say(b"2\r\n\n\nmore\r\n")
        exchange.keep = False

    client.chat(upstream.on_request(play))
    told = client.until(HALF)
    go_on.set()
    assert (told + client.rest()).endswith(HALF)


def test_a_trailer_that_can_be_read_in_two_ways_is_not_passed_on(client: Client, upstream: Upstream) -> None:
    second_piece(client, upstream, b"0\r\nX-A: 1\nX-Evil: 2\r\n\r\n")
    assert b"Evil" not in client.until(b"\n0\r\n\r\n")


def test_a_plain_body_that_breaks_off_is_a_reset_for_a_client_that_cannot_see_it_otherwise(
    client: Client, upstream: Upstream
) -> None:
    client.chat(upstream.answer(STREAM + CHUNK + HALF, keep=False), version="1.0")
    with pytest.raises(ConnectionResetError):
        read_to_the_end(client.socket)


def test_an_error_in_a_stream_speaks_the_language_of_the_endpoint(client: Client, upstream: Upstream) -> None:
    body = b'{"model": "primary", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}'
    name = upstream.answer(STREAM + CHUNK, keep=False)
    client.send(name, "POST", "/v1/messages", body, headers={"Content-Type": "application/json"})
    answer = client.answer()
    assert answer.body.count(b'event: error\ndata: {"type": "error"') == 1


# -- the client leaves


def waits_for_the_head(exchange: Exchange) -> None:
    pass


def waits_for_the_first_event(exchange: Exchange) -> None:
    exchange.say(STREAM)


def is_in_the_middle(exchange: Exchange) -> None:
    exchange.say(STREAM + CHUNK)


def is_in_the_middle_of_a_plain_answer(exchange: Exchange) -> None:
    exchange.say(OK + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")


STAGES = [waits_for_the_head, waits_for_the_first_event, is_in_the_middle, is_in_the_middle_of_a_plain_answer]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_client_that_leaves_ends_the_upstreams_work(
    over_the_socket: App, upstream: Upstream, stage: Callable[[Exchange], None], reset: bool
) -> None:
    reached, gone = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        stage(exchange)
        reached.set()
        exchange.hung_up()
        gone.set()

    with Client(over_the_socket.port) as client:
        client.chat(upstream.on_request(play))
        assert reached.wait(30)
        if reset:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert gone.wait(30)
    eventually(lambda: idle(over_the_socket), "the place is free")


def test_a_client_that_never_reads_is_cut_off_and_its_place_is_free(over_the_socket: App, upstream: Upstream) -> None:
    gone = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM)
        try:
            while True:
                exchange.say(CHUNK * 1000)
        finally:
            gone.set()

    with Client(over_the_socket.port, receive_buffer=4096) as client:
        client.chat(upstream.on_request(play))
        client.until(b"choices")
        assert gone.wait(30 + STALL_S)
        eventually(lambda: idle(over_the_socket), "the place is free")
        with pytest.raises(ConnectionResetError):
            read_to_the_end(client.socket)


# -- what the rest of hal0 is told


def ends(app: App, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = app.get(f"/relay-test/ends/{name}").json()
    return found


@pytest.mark.parametrize(
    "said",
    [STREAM + CHUNK + CHUNK + b"0\r\n\r\n", OK + b"Content-Length: 5\r\n\r\nhello", OK + b"\r\nhello", NO_CONTENT],
    ids=["chunks", "length", "until-close", "nothing"],
)
def test_the_tap_is_given_the_bytes_as_they_came(app: App, upstream: Upstream, said: bytes) -> None:
    name = upstream.answer(said, keep=False)
    with Client(app.port) as client:
        client.chat(name)
        body = client.answer().body
    (end,) = eventually(lambda: ends(app, name), "it has ended")
    raw = said.partition(b"\r\n\r\n")[2].decode()
    assert (end["ending"], end["raw"]) == ("complete", raw)
    assert end["sent"] in (len(body), len(raw))


def test_an_upstream_that_breaks_off_is_told_so(app: App, upstream: Upstream) -> None:
    name = upstream.answer(STREAM + CHUNK, CHUNK[:-3], keep=False)
    with Client(app.port) as client:
        client.chat(name)
        client.rest()
    (end,) = eventually(lambda: ends(app, name), "it has ended")
    assert (end["ending"], end["raw"]) == ("upstream_broken", (CHUNK + CHUNK[:-3]).decode())


def test_a_client_that_left_and_one_that_took_nothing_are_told_apart(over_the_socket: App, upstream: Upstream) -> None:
    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM)
        while True:
            exchange.say(CHUNK * 1000)

    for stays, ending in ((False, "client_gone"), (True, "client_stalled")):
        name = upstream.on_request(play)
        with Client(over_the_socket.port, receive_buffer=4096) as client:
            client.chat(name)
            client.until(b"choices")
            if stays:
                (end,) = eventually(lambda name=name: ends(over_the_socket, name), "it has ended")
        (end,) = eventually(lambda name=name: ends(over_the_socket, name), "it has ended")
        assert end["ending"] == ending


# -- tokens that repeat the one before, which pass without being framed


def token(text: bytes) -> bytes:
    event = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text
    return b"%x\r\n%s\r\n" % (len(event), event)


def test_tokens_that_repeat_pass_as_they_came_and_are_counted(app: App, upstream: Upstream) -> None:
    tokens = [token(b"%d" % number) for number in range(20)]
    name = one_by_one(upstream, *tokens, b"0\r\nX-Sum: 1\r\n\r\n")
    with Client(app.port) as client:
        client.chat(name, X_Request_Id=f"repeats-{name}-{app.port}")
        body = client.until(b"\r\n0\r\n", read_tokens(client, upstream, name, 20)).partition(b"\r\n\r\n")[2]
    (end,) = eventually(lambda: ends(app, name), "it has ended")
    raw = b"".join(tokens) + b"0\r\nX-Sum: 1\r\n\r\n"
    assert (end["ending"], end["raw"]) == ("complete", raw.decode())
    if app.command is not PLAIN_WSGI:
        assert raw.startswith(body)
        assert end["sent"] == len(raw)
        assert end["spared"] >= 15
    (record,) = eventually(lambda: recorded(app, f"repeats-{name}-{app.port}"), "its record")
    assert (record["outcome"], record["tokens_out"], record["estimated"]) == ("complete", 20, True)


@pytest.mark.parametrize(
    ("last", "well"),
    [
        (b"", True),
        (b"x" + token(b"x")[1:], True),
        (token(b"x").replace(b"}]}", b"}]} "), True),
        (token(b"x")[:-1] + b"\r", False),
        (b"3" + token(b"x"), False),
        (token(b"x")[:-2], False),
        (token(b"x")[:-3] + b"x\r\n", False),
    ],
    ids=[
        "nothing",
        "no-size",
        "longer-than-its-size",
        "no-line-end",
        "shorter-than-its-size",
        "cut-chunk",
        "no-blank-line",
    ],
)
def test_what_comes_after_tokens_that_repeat_is_judged_as_ever(
    client: Client, over_the_socket: App, upstream: Upstream, last: bytes, well: bool
) -> None:
    tokens = [token(b"%d" % number) for number in range(10)]
    name = one_by_one(upstream, *tokens, last, keep=False)
    client.chat(name)
    told = read_tokens(client, upstream, name, 10)
    body = (client.until(b"\n0\r\n\r\n", told) if well else told + client.rest()).partition(b"\r\n\r\n")[2]
    assert body.startswith(b"".join(tokens))
    assert (b"upstream.protocol" in body) is well
    assert well or body == b"".join(tokens) + last
    (end,) = eventually(lambda: ends(over_the_socket, name), "it has ended")
    assert end["ending"] == "upstream_broken"
    assert end["spared"] >= 5


def one_by_one(upstream: Upstream, *pieces: bytes, keep: bool = True) -> str:
    """A script that says each piece when the one before is with the client, so that each is read on its own."""
    turn = threading.Semaphore(0)
    TURNS[name := upstream.on_request(lambda exchange: play(exchange))] = turn

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM)
        for piece in pieces:
            exchange.say(piece)
            assert turn.acquire(timeout=60)
        exchange.keep = keep

    return name


TURNS: dict[str, threading.Semaphore] = {}


def read_tokens(client: Client, upstream: Upstream, name: str, count: int) -> bytes:
    """What the client is sent until it has so many tokens, one after the other."""
    read = b""
    for number in range(count):
        read = client.until(b'"content":"%d"}}]}\n\n' % number, read)
        TURNS[name].release()
    TURNS[name].release()
    return read


def recorded(app: App, id_: str) -> list[dict[str, Any]]:
    return [one for one in app.get("/api/requests").json() if one["id"] == id_]


# -- signs of life


def test_a_client_that_waits_is_sent_comments_and_then_the_stream_as_it_came(
    client: Client, upstream: Upstream
) -> None:
    client.chat(upstream.answer(STREAM + CHUNK + b"0\r\n\r\n"), X_Beats="3")
    head, _, body = client.until(b"\n0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in head
    assert b"X-Hal0" not in head
    for second in range(3):
        assert b": hal0 loading primary %ds\n\n" % second in body
    assert body.endswith(CHUNK + b"0\r\n\r\n")
    assert client.is_open()


@pytest.mark.parametrize("sized", [True, False])
def test_an_answer_without_chunks_is_put_into_chunks_after_signs_of_life(
    client: Client, upstream: Upstream, sized: bool
) -> None:
    length = b"Content-Length: %d\r\n" % len(EVENT) if sized else b""
    said = OK + b"Content-Type: text/event-stream\r\n" + length + b"\r\n" + EVENT
    client.chat(upstream.answer(said, keep=False), X_Beats="1")
    answer = client.answer()
    assert (answer.body, answer.whole) == (b": hal0 loading primary 0s\n\n" + EVENT, True)
    assert client.is_open()


def test_a_refusal_after_signs_of_life_is_an_event(client: Client, upstream: Upstream) -> None:
    client.chat(upstream.answer(b""), X_Beats="1", X_Then="error")
    answer = client.answer()
    assert (answer.status, answer.whole) == (200, True)
    (told,) = events(answer.body)
    assert told["error"]["code"] == "slot.loading"
    assert client.is_open()


@pytest.mark.parametrize(
    ("body", "message"), [(b'{"error": {"message": "too long", "code": 400}}', "too long"), (b"oops", "oops")]
)
def test_an_error_of_the_upstream_after_signs_of_life_is_an_event(
    client: Client, upstream: Upstream, body: bytes, message: str
) -> None:
    said = b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    client.chat(upstream.answer(said), X_Beats="1")
    (told,) = events(client.answer().body)
    assert told["error"]["message"].endswith(message)
    assert client.is_open()


@pytest.mark.parametrize("body", [b'{"error": {"message": "x", "type": "not_found"}}', b"oops"])
def test_an_error_is_on_record_alike_before_and_after_signs_of_life(
    over_the_socket: App, upstream: Upstream, body: bytes
) -> None:
    name = upstream.answer(b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    told = []
    for beats in (0, 1):
        id_ = f"alike-{name}-{over_the_socket.port}-{beats}"
        with Client(over_the_socket.port) as client:
            client.chat(name, X_Beats=str(beats), X_Request_Id=id_)
            client.answer()
        (record,) = eventually(lambda id_=id_: recorded(over_the_socket, id_), "its record")  # type: ignore[misc]
        told.append((record["status"], record["outcome"], record["error_code"]))
    assert told[0] == told[1]
    assert told[0][2] in ("request.not_found", "upstream.refused")


def test_an_old_client_gets_no_signs_of_life(client: Client, upstream: Upstream) -> None:
    client.chat(upstream.answer(STREAM + CHUNK + b"0\r\n\r\n"), version="1.0", X_Beats="2")
    answer = client.answer()
    assert answer.headers["x-hal0-slot"] == "primary"
    assert answer.body == EVENT


def test_a_client_that_leaves_between_signs_of_life_is_gone(over_the_socket: App, upstream: Upstream) -> None:
    name = upstream.answer(STREAM + CHUNK + b"0\r\n\r\n")
    with Client(over_the_socket.port) as client:
        client.chat(name, X_Beats="3", X_Beat_S="0.3")
        client.until(b"0s")
    eventually(lambda: idle(over_the_socket), "the place is free")


def slow(head: bytes, rest: bytes) -> tuple[Callable[[Exchange], None], threading.Event]:
    """A script that says `head`, and the `rest` when the event is set, as after a long prompt."""
    read = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(head)
        assert read.wait(30)
        exchange.say(rest)

    return play, read


@pytest.mark.parametrize("known", [b"", STREAM], ids=["no-head-yet", "head-without-event"])
def test_a_client_whose_prompt_takes_long_is_sent_comments_and_then_the_stream_as_it_came(
    client: Client, upstream: Upstream, known: bytes
) -> None:
    whole = STREAM + b"10;x=y\r\ndata: " + b"1" * 8 + b"\n\n\r\n" + CHUNK + b"0\r\nX-Sum: 1\r\n\r\n"
    play, read = slow(known, whole.removeprefix(known))
    client.chat(upstream.on_request(play))
    told = client.until(b": hal0 waiting for primary 2s\n\n\r\n")
    read.set()
    body = client.until(b"X-Sum: 1\r\n\r\n", told).partition(b"\r\n\r\n")[2]
    assert re.sub(rb"[0-9a-f]+\r\n: hal0 waiting for primary \ds\n\n\r\n", b"", body) == whole.removeprefix(STREAM)
    assert client.is_open()


def test_an_error_after_a_long_prompt_is_an_event_and_the_end(client: Client, upstream: Upstream) -> None:
    error = b'{"error": {"message": "too long", "code": 400}}'
    play, read = slow(b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(error), error))
    client.chat(upstream.on_request(play))
    told = client.until(b": hal0 waiting for primary")
    read.set()
    body = client.until(b"\n0\r\n\r\n", told)
    assert body.count(b"data: ") == body.count(b"too long") == 1
    assert b"[DONE]" not in body
    assert client.is_open()


def test_a_request_is_sent_again_though_its_client_was_told_to_wait(client: Client, upstream: Upstream) -> None:
    read = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        assert read.wait(30)
        exchange.keep = len(upstream.heard[name]) > 1
        if exchange.keep:
            exchange.say(STREAM + CHUNK + b"0\r\n\r\n")

    name = upstream.on_request(play)
    client.chat(name)
    told = client.until(b": hal0 waiting for primary")
    read.set()
    assert client.until(b"\n0\r\n\r\n", told).endswith(CHUNK + b"0\r\n\r\n")
    assert len(upstream.heard[name]) == 2
    assert client.is_open()


def test_a_client_that_leaves_during_a_long_prompt_ends_the_call(over_the_socket: App, upstream: Upstream) -> None:
    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.hung_up()

    name = upstream.on_request(play)
    with Client(over_the_socket.port) as client:
        client.chat(name)
        client.until(b": hal0 waiting for primary")
    assert eventually(lambda: upstream.heard[name][0].over.is_set(), "the call is ended")
    eventually(lambda: idle(over_the_socket), "the place is free")
