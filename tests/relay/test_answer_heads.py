"""Over gunicorn's socket, in both lanes: the head of every answer under /v1, whatever its upstream says."""

from __future__ import annotations

import pytest

from hal0app.api.security import HEADERS
from tests.relay.client import Client
from tests.relay.upstream import OK, STREAM, Upstream, chunked

JSON = b"Content-Type: application/json\r\n"
THEIRS = b"X-Request-Id: theirs\r\nx-content-type-options: theirs\r\nDate: then\r\nX-A: 1\r\nX-A: 2\r\n"
ERROR = b'{"error":{"message":"no","code":500}}'
SAID = {
    "json": OK + THEIRS + JSON + b"Content-Length: 2\r\n\r\n{}",
    "length-first": OK + b"Content-Length: 2\r\n" + THEIRS + JSON + b"\r\n{}",
    "stream": STREAM.replace(b"\r\n", b"\r\n" + THEIRS, 1) + chunked(b"data: 1\n\n"),
    "until-close": OK + THEIRS + b"\r\nhello",
    "204": b"HTTP/1.1 204 No Content\r\n" + THEIRS + b"Content-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n" + THEIRS + b"\r\n",
    "its-error": b"HTTP/1.1 500 Oops\r\n" + THEIRS + b"Content-Length: 6\r\n\r\n<html>",
    "its-error-in-other-words": b"HTTP/1.1 500 Oops\r\n"
    + THEIRS
    + JSON
    + b"Content-Length: %d\r\n\r\n" % len(ERROR)
    + ERROR,
    "error-as-first-event": OK + THEIRS + b"Content-Type: text/event-stream\r\n\r\ndata: " + ERROR + b"\n\n",
}
OURS = {"date", "x-request-id", *map(str.lower, HEADERS)}


def told(client: Client) -> dict[str, list[str]]:
    """The values of each header of the next head."""
    found: dict[str, list[str]] = {}
    for line in client.until(b"\r\n\r\n").partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


def once(head: dict[str, list[str]]) -> dict[str, str]:
    """Those headers of hal0's that are there exactly once."""
    return {name: values[0] for name, values in head.items() if name in OURS and len(values) == 1}


@pytest.mark.parametrize("forwarded", [False, True], ids=["inference", "forwarded"])
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_an_answer_has_hal0s_own_headers_once_and_the_upstreams_all(
    client: Client, upstream: Upstream, said: bytes, forwarded: bool
) -> None:
    name = upstream.answer(said, keep=False)
    if forwarded:
        client.send(name, headers={"X-Request-Id": "mine"})
    else:
        client.chat(name, X_Request_Id="mine")
    head = told(client)
    assert once(head).keys() == OURS
    assert (head["x-request-id"], head["x-content-type-options"], head["x-a"]) == (["mine"], ["theirs"], ["1", "2"])
    assert head["date"] != ["then"]


def test_a_body_keeps_its_length_though_connection_names_that(client: Client, upstream: Upstream) -> None:
    client.chat(
        upstream.answer(OK + JSON + b"Connection: content-length, X-A\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}")
    )
    answer = client.answer()
    assert (answer.body, answer.headers["content-length"], "x-a" in answer.headers) == (b"{}", "2", False)
    assert client.is_open()


def test_the_answer_to_a_head_request_has_them_too(client: Client, upstream: Upstream) -> None:
    client.send(upstream.answer(SAID["json"][:-2]), "HEAD", headers={"X-Request-Id": "mine"})
    head = told(client)
    assert once(head).keys() == OURS
    assert head["content-length"] == ["2"]


@pytest.mark.parametrize("more", [{}, {"X_Then": "error"}], ids=["good", "refused"])
def test_a_stream_that_began_with_a_sign_of_life_has_them_too(
    client: Client, upstream: Upstream, more: dict[str, str]
) -> None:
    client.chat(upstream.answer(SAID["stream"]), X_Beats="1", X_Request_Id="mine", **more)
    head = told(client)
    assert once(head).keys() == OURS
    assert head["x-request-id"] == ["mine"]


REFUSED = {
    "no-json": b'{"model":',
    "no-model": b'{"model": "nobodys", "messages": [1]}',
    "no-messages": b'{"model": "primary"}',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_hal0s_own_refusal_has_them_too(client: Client, body: bytes) -> None:
    headers = {"X-Request-Id": "mine", "Content-Type": "application/json"}
    client.send("", "POST", "/v1/chat/completions", body, headers=headers)
    head = told(client)
    assert once(head).keys() == OURS
    assert {name: head[name.lower()] for name in HEADERS} == {name: [value] for name, value in HEADERS.items()}
    assert head["x-request-id"] == ["mine"]


def test_the_refusal_of_a_broken_head_has_them_too(client: Client) -> None:
    client.socket.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nno colon\r\n\r\n")
    assert once(told(client)).keys() == OURS
