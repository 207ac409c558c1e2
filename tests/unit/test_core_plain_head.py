"""core/plain_head: what is plain is read as gunicorn's parser reads it; everything else is left to that parser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from hal0app.api.plain_request import PlainParser, PlainRequest
from hal0app.core import plain_head
from hal0app.core.endpoints import ENDPOINTS
from hal0app.core.plain_head import BODY_BYTES, FIELDS, Heads, PlainHead

PEER = ("192.0.2.7", 4711)
LINES = (
    b"Host: hal0.local:8080",
    b"User-Agent: openai/1.0",
    b"Accept: */*",
    b"Accept-Encoding: gzip, deflate",
    b"Connection: keep-alive",
    b"Authorization: Bearer x",
    b"Content-Type: application/json; charset=utf-8",
    b"X-Request-Id: a-b",
    b"Content-Length: 12",
)
START = b"POST /v1/chat/completions HTTP/1.1"


def head(*lines: bytes, start: bytes = START) -> bytes:
    return b"\r\n".join((start, *lines)) + b"\r\n\r\n"


USUAL = head(*LINES)
# What one byte, or a few, or a line more can make of a head.
BYTES = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"_", b"\x0b", b"\x7f", b"\xa0", b"\xe9", b"0", b"-"),
        *(b"POST ", b"HTTP/1.0", b"HTTP/1.1", b"?a=b", b"/v1/", b"\r\n\r\n", b"%2f"),
    ]
)
MORE_LINES = st.sampled_from(
    [
        *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 4\r\n", b"Content-Length: 12\r\n", b"Host: x\r\n"),
        *(b"Transfer_Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b" folded\r\n"),
        *(b"X-Forwarded-Proto: https\r\n", b"X_A: b\r\n", b"Expect: x\r\n", b"Transfer-Encoding: identity\r\n"),
    ]
)
BEGINNINGS = [n + 2 for n in range(len(USUAL) - 2) if USUAL[n : n + 2] == b"\r\n"]
CHANGES = st.lists(
    st.tuples(st.integers(0, len(USUAL)), st.integers(0, 3), BYTES | st.binary(max_size=2))
    | st.tuples(st.sampled_from(BEGINNINGS), st.just(0), MORE_LINES),
    max_size=3,
)
LENGTHS = [b"12", b"12", b"1", b"999999", b"1048577", b"0", b"012", b"1 2", b"12345678", b"12 "]
NONE = PlainHead("", ENDPOINTS[0], {}, [], 0, False, 0)
REST = st.sampled_from([b"", b"{}", b'{"model":""}', b'{"model":""}GET / HTTP/1.1\r\n\r\n'])


def changed(changes: list[tuple[int, int, bytes]]) -> bytes:
    data = USUAL
    for at, gone, new in changes:
        data = data[:at] + new + data[at + gone :]
    return data


def as_gunicorn_reads_it(data: bytes) -> Any:
    try:
        return next(RequestParser(Config(), [data], PEER))
    except (ParseException, NoMoreData) as refused:
        return refused


@settings(max_examples=800)
@given(CHANGES, REST)
def test_what_is_plain_is_the_same_to_gunicorn(changes: list[tuple[int, int, bytes]], rest: bytes) -> None:
    data = changed(changes) + rest
    found, other = plain_head.read(data), as_gunicorn_reads_it(data)
    if found is None:
        return
    assert isinstance(other, Request), other
    assert (other.method, other.uri, other.path, other.query) == ("POST", found.path, found.path, "")
    assert (other.version, other.scheme, other.should_close()) == ((1, 1), "http", found.closes)
    assert dict(other.headers) == {name.upper(): value for name, value in found.fields.items()}
    assert len(other.headers) == len(found.names)
    assert other.body.reader.length == found.content_length
    assert other.unreader.take_buffered() == data[found.end :]


@settings(max_examples=300)
@given(CHANGES, REST, st.lists(st.integers(1, 400), max_size=4))
def test_what_is_not_plain_reaches_gunicorn_as_it_came(
    changes: list[tuple[int, int, bytes]], rest: bytes, cuts: list[int]
) -> None:
    data = changed(changes) + rest
    pieces = [data[at:to] for at, to in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True) if data[at:to]]
    told = []
    for kind in (PlainParser, RequestParser):
        parser = kind(Config(), pieces, PEER)
        try:
            request = next(parser)
            body = request.body.read(100)
            told.append((request.method, request.path, request.should_close(), body, left(parser)))
        except (ParseException, NoMoreData, StopIteration) as problem:
            told.append((type(problem), str(problem)))
    assert told[0] == told[1]


def left(parser: RequestParser) -> bytes:
    read = b""
    while piece := parser.unreader.read():
        read += piece
    return read


@settings(max_examples=300)
@given(st.lists(st.tuples(CHANGES, st.sampled_from(LENGTHS)), min_size=2, max_size=4))
def test_a_head_that_repeats_the_one_before_is_read_as_if_it_were_the_first(
    told: list[tuple[list[tuple[int, int, bytes]], bytes]],
) -> None:
    heads = Heads()
    for changes, length in told:
        data = changed(changes).replace(b"Length: 12", b"Length: " + length) + b"{}"
        assert replace(heads.read(data) or NONE, known={}) == replace(plain_head.read(data) or NONE, known={})


def test_what_is_known_of_a_head_is_known_of_all_that_repeat_it() -> None:
    heads, found = Heads(), []
    for length, name in [(b"12", b"x"), (b"12", b"x"), (b"4096", b"x"), (b"4096", b"y"), (b"12", b"y")]:
        data = USUAL.replace(b"Length: 12", b"Length: " + length).replace(b"Bearer x", b"Bearer " + name)
        head = heads.read(data)
        assert head is not None
        found.append(head.known)
    assert [one is found[0] for one in found] == [True, True, True, False, False]
    assert found[3] is found[4]


@pytest.mark.parametrize("prefix", ["/v1/", "/api/v1/"])
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.path)
def test_every_endpoint_that_takes_json_has_plain_requests(endpoint: Any, prefix: str) -> None:
    for name in endpoint.names:
        found = plain_head.read(head(*LINES, start=f"POST {prefix}{name} HTTP/1.1".encode()))
        assert found is None if endpoint.form else found is not None and found.endpoint is endpoint


@pytest.mark.parametrize(
    "data",
    [
        USUAL[:-1],
        head(*LINES, *(b"X-%d: a" % n for n in range(FIELDS))),
        head(*LINES, b"X-A: " + b"a" * 8190),
        head(*LINES, *(b"X-%d: %s" % (n, b"a" * 7000) for n in range(5))),
        head(*LINES[:-1], b"Content-Length: %d" % (BODY_BYTES + 1)),
        head(*LINES[1:]),
        head(*LINES[:-1]),
        USUAL.replace(b"POST", b"GET"),
    ],
    ids=["cut", "many-fields", "long-field", "long-head", "long-body", "no-host", "no-length", "get"],
)
def test_what_is_not_plain_is_not_judged(data: bytes) -> None:
    assert plain_head.read(data) is None


def test_requests_that_follow_each_other_are_told_apart() -> None:
    body, other = b'{"model":""}', b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    parser = PlainParser(Config(), [USUAL + body + USUAL + body[:4], body[4:] + other + USUAL, body], PEER)
    kinds = []
    for _ in range(4):
        request = next(parser)
        kinds.append(type(request))
        if isinstance(request, PlainRequest):
            assert (request.stream.read(100), request.remote_addr) == (body, PEER[0])
    assert kinds == [PlainRequest, PlainRequest, Request, PlainRequest]
    with pytest.raises(StopIteration):
        next(parser)


def test_a_body_that_nobody_read_is_skipped() -> None:
    body = b'{"model":""}'
    parser = PlainParser(Config(), [USUAL + body[:5], body[5:] + USUAL + body], PEER)
    assert [type(next(parser)) for _ in range(2)] == [PlainRequest] * 2
    assert next(parser, None) is None
