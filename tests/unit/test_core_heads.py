"""core/response_head, request_head and client_head: what is read from and written to the wire, strictly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core import client_head, request_head, response_head
from hal0app.core.downstream import form, form_after_heartbeats
from hal0app.core.framing import Chunked, Length, Malformed, UntilClose

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "method", "framing", "reusable"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", "GET", Length, True),
        (OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\n", "GET", Length, True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n", "GET", Chunked, True),
        (OK + b"\r\n", "GET", UntilClose, False),
        (OK + b"\r\n", "HEAD", Length, True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", "HEAD", Length, True),
        (OK + b"Connection: keep-alive, Close\r\nContent-Length: 5\r\n\r\n", "GET", Length, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", Length, False),
        (b"HTTP/1.1 204\r\nContent-Length: 5\r\n\r\n", "GET", Length, True),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "GET", Length, True),
    ],
)
def test_a_head_tells_how_the_body_is_framed(head: bytes, method: str, framing: type, reusable: bool) -> None:
    found = response_head.read(head + b"rest", method)
    assert found is not None
    assert type(found[0].framing) is framing
    assert (found[0].reusable, found[1]) == (reusable, b"rest")


@given(st.integers(0, 200))
def test_a_head_that_is_not_complete_is_waited_for(cut: int) -> None:
    head = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"X-A: 1\r\nContent-Length: 5\r\n\r\n"
    found = response_head.read(head[:cut], "GET")
    assert (found is None) == (cut < len(head))


def test_headers_keep_their_order_and_their_bytes() -> None:
    found = response_head.read(OK + b"X-A:1\r\nx-b: \xe4 \t\r\nX-A: \r\nContent-Length: 0\r\n\r\n", "GET")
    assert found is not None
    assert found[0].headers == (("X-A", "1"), ("x-b", "\xe4"), ("X-A", ""), ("Content-Length", "0"))


def outcome(read: Callable[[], object]) -> object:
    """What it gives, or why it refuses to."""
    try:
        return read()
    except (Malformed, ValueError) as problem:
        return str(problem)


LINES = st.lists(
    st.sampled_from(
        [
            *(b"X-A: 1", b"x-a:2", b"Connection: close", b"Transfer-Encoding: chunked", b"Y: a\rb", b"Y: a\nb", b"no"),
            *(
                b"Content-Length: 5",
                b"CONTENT-LENGTH: 5",
                b"content-length:6",
                b"Content-Length: +5",
                b"Content-Length:",
            ),
            *(b"X-Content-Length: 7", b"Y: a\rContent-Length: 7", b"Y: a\nContent-Length: 7", b" Content-Length: 7"),
        ]
    ),
    max_size=4,
)
STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204", b"HTTP/1.1 304 X", b"HTTP/1.1 103 X"]
)


@given(
    STATUS, LINES, LINES, st.sampled_from([b"5", b"05", b" 5 \t", b"5,5", b"9" * 19]), st.sampled_from(["GET", "HEAD"])
)
def test_where_the_length_stands_and_how_its_name_is_written_does_not_matter(
    status: bytes, before: list[bytes], after: list[bytes], value: bytes, method: str
) -> None:
    def told(*lines: bytes) -> object:
        found = response_head.read(b"\r\n".join((*lines, b"", b"")) + b"HTTP/1.1 200 OK\r\n\r\nrest", method)
        assert found is not None
        head, rest = found
        return head.status, head.headers, repr(head.framing.__dict__), type(head.framing), head.reusable, rest

    quick, slow = (name + b":" + value for name in (b"Content-Length", b"CONTENT-LENGTH"))
    expected = outcome(lambda: told(status, *before, slow, *after))
    assert outcome(lambda: told(status, *before, quick, *after)) == expected
    if not isinstance(expected, str):
        assert told(status, quick, *before, *after) == told(status, *before, *after, quick) == expected


@pytest.mark.parametrize(
    "head",
    [
        *(b"ICY 200 OK\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n"),
        b"\r\n\r\n",
        *(OK + b"X\r\n\r\n", OK + b": x\r\n\r\n", OK + b"X : 1\r\n\r\n", OK + b"X: 1\r\n 2\r\n\r\n"),
        OK + b"X: \0\r\n\r\n",
        *(OK + b"X: 1\n\r\n\r\n", OK + b"X: a\rb\r\n\r\n", OK + b"X: a\nY: b\r\n\r\n", b"HTTP/1.1 200 O\rK\r\n\r\n"),
        *(OK + b"Content-Length: 5, 5\r\n\r\n", OK + b"Content-Length: -1\r\n\r\n", OK + b"Content-Length:\r\n\r\n"),
        *(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", OK + b"Transfer-Encoding: gzip\r\n\r\n"),
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"X: " + b"a" * 70_000,
        OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)  # fmt: skip
def test_a_head_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        response_head.read(head, "GET")


def test_a_request_is_written_line_by_line() -> None:
    head = request_head.write("POST", "/v1/a?b=%20", "h:1", [("X-A", "1"), ("X-B", "\xe4")])
    assert head == b"POST /v1/a?b=%20 HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nX-B: \xe4\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "header"),
    [
        *(("/a b", ("X", "1")), ("/\xe9", ("X", "1")), ("/a\r\nX: 1", ("X", "1")), ("/a", ("X", "1\r\nY: 2"))),
        *(("/a", ("X", "1\n")), ("/a", ("X:", "1")), ("/a", ("X Y", "1")), ("/a", ("X", "\0"))),
        ("/a", ("X", "\u20ac")),
    ],
)  # fmt: skip
def test_a_request_that_would_become_another_is_not_written(target: str, header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        request_head.write("GET", target, "h", [header])


@pytest.mark.parametrize("bad", ["1\r\nX-Evil: 2", "1\rX", "1\nX", "1\0"])
def test_an_answer_that_would_become_two_is_not_written(bad: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        client_head.write("200 OK", [("X-A", bad)])


FIELDS = st.lists(
    st.tuples(st.sampled_from(["X-A", "X-B\r"]), st.sampled_from(["1", "\xe4", "", "a\nb", "\0"])), max_size=3
)


@given(st.sampled_from(["200 OK", "200 O\nK"]), FIELDS, FIELDS)
def test_usual_headers_are_written_as_any_others(
    status: str, usual: list[tuple[str, str]], own: list[tuple[str, str]]
) -> None:
    together = outcome(lambda: client_head.write(status, [*usual, *own]))
    for _ in range(2):
        assert outcome(lambda: client_head.write(status, own, tuple(usual))) == together
    parts = [status, *(part for pair in (*usual, *own) for part in pair)]
    assert isinstance(together, bytes) == (not any(sign in part for part in parts for sign in "\r\n\0"))


@pytest.mark.parametrize(
    ("protocol", "connection", "closes"),
    [
        *(("HTTP/1.1", None, False), ("HTTP/1.1", "Close", True), ("HTTP/1.1", "keep-alive", False)),
        *(("HTTP/1.0", None, True), ("HTTP/1.0", "Keep-Alive", False), ("HTTP/1.0", "close", True)),
        *(("HTTP/1.1", "close, TE", True), ("HTTP/1.1", "TE,Close", True), ("HTTP/1.1", "closed", False)),
    ],
)
def test_a_connection_ends_as_the_client_says(protocol: str, connection: str | None, closes: bool) -> None:
    environ = {"SERVER_PROTOCOL": protocol, **({"HTTP_CONNECTION": connection} if connection else {})}
    assert client_head.closes(environ) is closes


def test_every_framing_has_a_form_that_its_client_understands() -> None:
    for framing in (Chunked(), UntilClose()):
        assert form(framing, chunks=True).chunked
        assert not form(framing, chunks=False).chunked
        assert not form(framing, chunks=False).delimited
    for chunks in (True, False):
        assert form(Length(5), chunks).delimited
        assert not form(Length(5), chunks).chunked
    for after in (Chunked(), UntilClose(), Length(5), Length(0)):
        assert form_after_heartbeats(after).chunked
