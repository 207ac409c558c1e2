"""Both lanes give one verdict on every head, odd or not, and none takes a body, or a part of one, for a request."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import threading
import time
from typing import Any

import pytest

from tests.relay.client import Client
from tests.relay.conftest import GUNICORN, KEEP_ALIVE_S, front
from tests.relay.upstream import OK, STREAM, Exchange, Upstream
from tests.support.app import App
from tests.support.waiting import eventually

BODY = b'{"model":"primary","messages":[{"role":"user","content":"x"}]}'
ANSWER = OK + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
# What a request of ours ends with: it ends the connection, whatever came of what was before.
LAST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
OF_THE_MOMENT = {"date", "x-request-id", "server", "connection"}


def head(*lines: bytes, target: bytes = b"/v1/chat/completions", version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST %s %s\r\n" % (target, version) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


LENGTH = b"Content-Length: %d" % len(BODY)
HOST, JSON = b"Host: 127.0.0.1", b"Content-Type: application/json"
USUAL = (HOST, JSON, LENGTH, b"X-Script: NAME")
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
# A request inside a body: who takes it for one asks the upstream for its script.
HIDDEN = head(HOST, JSON, LENGTH, b"X-Script: HIDDEN") + BODY
IN_A_BODY = b'{"model":"primary","messages":["' + b"x" * 4 + b'"]}'


def smuggled(*lines: bytes, body: bytes) -> bytes:
    return head(HOST, JSON, b"X-Script: NAME", *lines) + body + HIDDEN


# Name -> a request, which the connection's last one follows.
ODD: dict[str, bytes] = {
    "usual": head(*USUAL) + BODY,
    "other-prefix": head(*USUAL, target=b"/api/v1/chat/completions") + BODY,
    "two-in-a-row": (head(*USUAL) + BODY) * 2,
    "closing": head(*USUAL, b"Connection: close") + BODY,
    "closing-in-capitals": head(*USUAL, b"Connection: CLOSE") + BODY,
    "staying": head(*USUAL, b"Connection: Keep-Alive") + BODY,
    "more-connection": head(*USUAL, b"Connection: keep-alive, close") + BODY,
    "two-connections": head(*USUAL, b"Connection: keep-alive", b"Connection: close") + BODY,
    "old": head(*USUAL, version=b"HTTP/1.0") + BODY,
    "older": head(*USUAL, version=b"HTTP/0.9") + BODY,
    "newer": head(*USUAL, version=b"HTTP/2.0") + BODY,
    "version-in-small": head(*USUAL, version=b"http/1.1") + BODY,
    "space-in-version": head(*USUAL, version=b"HTTP/1.1 ") + BODY,
    "absolute-form": head(*USUAL, target=b"http://127.0.0.1/v1/chat/completions") + BODY,
    "authority-form": head(*USUAL, target=b"127.0.0.1:80") + BODY,
    "query": head(*USUAL, target=b"/v1/chat/completions?a=b") + BODY,
    "fragment": head(*USUAL, target=b"/v1/chat/completions#a") + BODY,
    "escaped": head(*USUAL, target=b"/v1/chat%2fcompletions") + BODY,
    "two-slashes": head(*USUAL, target=b"//v1/chat/completions") + BODY,
    "dots": head(*USUAL, target=b"/v1/../v1/chat/completions") + BODY,
    "space-in-target": head(*USUAL, target=b"/v1/chat /completions") + BODY,
    "two-spaces": head(*USUAL).replace(b"POST ", b"POST  ") + BODY,
    "tab-after-method": head(*USUAL).replace(b"POST ", b"POST\t") + BODY,
    "method-in-small": head(*USUAL).replace(b"POST ", b"post ") + BODY,
    "empty-line-before": b"\r\n" + head(*USUAL) + BODY,
    "lf-before": b"\n" + head(*USUAL) + BODY,
    "lf-lines": head(*USUAL).replace(b"\r\n", b"\n") + BODY,
    "lf-in-a-head": head(HOST, JSON, LENGTH + b"\nX-Script: NAME") + BODY,
    "lf-at-the-end": head(*USUAL)[:-2] + b"\n" + BODY,
    "cr-in-a-value": head(*USUAL, b"X-A: a\rb") + BODY,
    "cr-alone": head(*USUAL).replace(b"\r\n", b"\r") + BODY,
    "nul-in-a-value": head(*USUAL, b"X-A: a\0b") + BODY,
    "nul-in-a-name": head(*USUAL, b"X\0A: a") + BODY,
    "nul-in-target": head(*USUAL, target=b"/v1/chat/completions\0") + BODY,
    "control-in-a-value": head(*USUAL, b"X-A: a\x01b") + BODY,
    "delete-in-a-value": head(*USUAL, b"X-A: a\x7fb") + BODY,
    "latin-1-value": head(*USUAL, b"X-A: caf\xe9") + BODY,
    "latin-1-name": head(*USUAL, b"X-\xe9: a") + BODY,
    "folded": head(*USUAL, b"X-A: a", b" b") + BODY,
    "folded-length": head(HOST, JSON, b"Content-Length:", b" %d" % len(BODY), b"X-Script: NAME") + BODY,
    "space-before-colon": head(HOST, JSON, b"Content-Length : %d" % len(BODY), b"X-Script: NAME") + BODY,
    "space-before-name": head(b" X-A: a", *USUAL) + BODY,
    "no-colon": head(*USUAL, b"X-A") + BODY,
    "no-name": head(*USUAL, b": a") + BODY,
    "no-space-after-colon": head(HOST, JSON, b"Content-Length:%d" % len(BODY), b"X-Script:NAME") + BODY,
    "spaces-around-a-value": head(HOST, JSON, b"Content-Length: \t%d \t" % len(BODY), b"X-Script: NAME ") + BODY,
    "underscores": head(*USUAL, b"Content_Length: 3", b"X_Script: HIDDEN") + BODY,
    "script-name": head(*USUAL, b"Script_Name: /v1", b"Path_Info: /api/slots") + BODY,
    "names-in-small": head(*USUAL).lower().replace(b"name", b"NAME").replace(b"post", b"POST").replace(
        b"http/", b"HTTP/") + BODY,
    "no-host": head(*USUAL[1:]) + BODY,
    "old-no-host": head(*USUAL[1:], version=b"HTTP/1.0") + BODY,
    "old-foreign-host": head(b"Host: evil.example", *USUAL[1:], version=b"HTTP/1.0") + BODY,
    "empty-host": head(b"Host:", *USUAL[1:]) + BODY,
    "two-hosts": head(b"Host: evil.example", *USUAL) + BODY,
    "hosts-in-one": head(b"Host: 127.0.0.1, evil.example", *USUAL[1:]) + BODY,
    "foreign-host": head(b"Host: evil.example", *USUAL[1:]) + BODY,
    "foreign-origin": head(*USUAL, b"Origin: http://evil.example") + BODY,
    "cross-site": head(*USUAL, b"Sec-Fetch-Site: cross-site") + BODY,
    "own-origin": head(*USUAL, b"Origin: http://127.0.0.1", b"Sec-Fetch-Site: same-origin") + BODY,
    "own-origin-over-tls": head(*USUAL, b"Origin: https://127.0.0.1", b"X-Forwarded-Proto: https") + BODY,
    "two-types": head(*USUAL, b"Content-Type: multipart/form-data; boundary=x") + BODY,
    "form": head(HOST, b"Content-Type: multipart/form-data; boundary=x", LENGTH, b"X-Script: NAME") + BODY,
    "no-type": head(HOST, LENGTH, b"X-Script: NAME") + BODY,
    "no-length": head(HOST, JSON, b"X-Script: NAME"),
    "length-0": head(HOST, JSON, b"Content-Length: 0", b"X-Script: NAME"),
    "length-plus": head(HOST, JSON, b"Content-Length: +%d" % len(BODY), b"X-Script: NAME") + BODY,
    "length-minus": head(HOST, JSON, b"Content-Length: -1", b"X-Script: NAME") + BODY,
    "length-zeros": head(HOST, JSON, b"Content-Length: 00%d" % len(BODY), b"X-Script: NAME") + BODY,
    "length-hex": head(HOST, JSON, b"Content-Length: 0x3f", b"X-Script: NAME") + BODY,
    "length-underscore": head(HOST, JSON, b"Content-Length: 6_2", b"X-Script: NAME") + BODY,
    "length-superscript": head(HOST, JSON, b"Content-Length: \xb2", b"X-Script: NAME") + BODY,
    "length-empty": head(HOST, JSON, b"Content-Length:", b"X-Script: NAME") + BODY,
    "length-list": head(HOST, JSON, LENGTH + b", %d" % len(BODY), b"X-Script: NAME") + BODY,
    "two-equal-lengths": head(*USUAL, LENGTH) + BODY,
    "length-too-long": head(HOST, JSON, b"Content-Length: " + b"9" * 400, b"X-Script: NAME", b"Connection: close"),
    "length-beyond-the-limit": head(HOST, JSON, b"Content-Length: 99999999", b"X-Script: NAME", b"Connection: close"),
    "expect": head(*USUAL, b"Expect: 100-continue") + BODY,
    "expect-odd": head(*USUAL, b"Expect: a miracle") + BODY,
    "upgrade": head(*USUAL, b"Connection: Upgrade", b"Upgrade: websocket") + BODY,
    "upgrade-h2c": head(*USUAL, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA") + BODY,
    "te": head(*USUAL, b"TE: trailers") + BODY,
    "trailer": head(*USUAL, b"Trailer: X-A") + BODY,
    "chunked": head(HOST, JSON, b"Transfer-Encoding: chunked", b"X-Script: NAME") + CHUNKS,
    "chunked-in-capitals": head(HOST, JSON, b"Transfer-Encoding: CHUNKED", b"X-Script: NAME") + CHUNKS,
    "many-fields": head(*USUAL, *(b"X-%d: a" % n for n in range(80))) + BODY,
    "too-many-fields": head(*USUAL, *(b"X-%d: a" % n for n in range(120))) + BODY,
    "field-too-long": head(*USUAL, b"X-A: " + b"a" * 8190) + BODY,
    "long-field": head(*USUAL, b"X-A: " + b"a" * 8100) + BODY,
    "huge-head": head(*USUAL, *(b"X-%d: %s" % (n, b"a" * 1000) for n in range(40))) + BODY,
    "not-json": head(HOST, JSON, b"Content-Length: 4", b"X-Script: NAME") + b"{{{{",
    "another-model": head(HOST, JSON, b"Content-Length: 28", b"X-Script: NAME") + b'{"model":"x","messages":[1]}',
    "no-messages": head(HOST, JSON, b"Content-Length: 19", b"X-Script: NAME") + b'{"model":"primary"}',
    "odd-priority": head(*USUAL, b"X-Hal0-Priority: now") + BODY,
    "odd-id": head(*USUAL, b"X-Request-Id: a b") + BODY,
    # Two readers of these may disagree about where the request ends.
    "cl-te": smuggled(LENGTH, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "te-cl": smuggled(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKS),
    "te-odd": smuggled(LENGTH, b"Transfer-Encoding: xchunked", body=BODY),
    "te-space": smuggled(LENGTH, b"Transfer-Encoding : chunked", body=BODY),
    "te-tab": smuggled(LENGTH, b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n"),
    "te-vertical-tab": smuggled(LENGTH, b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "te-folded": smuggled(LENGTH, b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
    "te-after-lf": smuggled(LENGTH + b"\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "te-underscore": smuggled(LENGTH, b"Transfer_Encoding: chunked", body=BODY[:-1]),
    "te-twice": smuggled(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "te-identity": smuggled(LENGTH, b"Transfer-Encoding: identity", body=BODY),
    "two-lengths": smuggled(b"Content-Length: 4", LENGTH, body=BODY[:4]),
    "two-lengths-the-other-way": smuggled(LENGTH, b"Content-Length: 4", body=BODY[:4]),
    "length-behind-a-cr": smuggled(LENGTH, b"X-A: a\rContent-Length: 4", body=BODY[:4]),
}  # fmt: skip
# These bodies hold a whole request; all of it is body, or the connection ends.
MUST_HIDE = [name for name in ODD if name.startswith(("cl-", "te-", "two-lengths", "length-behind"))]


def script(upstream: Upstream, raw: bytes) -> tuple[bytes, str, str]:
    """The request with scripts of the upstream's, and their names: the request's own, and that of what it hides."""
    own, hidden = upstream.answer(ANSWER), upstream.answer(ANSWER)
    return raw.replace(b"NAME", own.encode()).replace(b"HIDDEN", hidden.encode()), own, hidden


def verdicts(app: App, raw: bytes) -> list[Any]:
    """Every answer on a connection that is sent `raw`, up to its end."""
    with Client(app.port) as client:
        client.socket.sendall(raw)
        told = client.rest()
    found = []
    reader = Reader(told)
    while reader.left():
        response = http.client.HTTPResponse(reader)  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders() if name.lower() not in OF_THE_MOMENT}
        found.append((response.status, headers, response.read()))
    return found


class Reader:
    """Bytes as a socket that several answers can be read from."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]

    def makefile(self, mode: str) -> Any:
        return Unclosed(self._file)

    def left(self) -> bool:
        return bool(self._file.peek(1))


class Unclosed(io.BufferedReader):
    """A file that a finished answer does not close."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file.raw)
        self._file = file

    def readline(self, *size: Any) -> bytes:
        return self._file.readline(*size)

    def read(self, *size: Any) -> bytes:
        return self._file.read(*size)

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", ODD)
def test_both_lanes_give_one_verdict(fast_lane: App, flask_lane: App, upstream: Upstream, name: str) -> None:
    told = []
    for app in (fast_lane, flask_lane):
        raw, own, hidden = script(upstream, ODD[name] + LAST)
        answers = [(*rest, body.replace(own.encode(), b"NAME")) for *rest, body in verdicts(app, raw)]
        told.append((answers, len(upstream.heard[own]), len(upstream.heard[hidden])))
    assert told[0] == told[1]
    if name in MUST_HIDE:
        answers, asked, hidden_asked = told[0]
        assert hidden_asked == 0 or (asked == 1 and answers[0][0] == 200)


@pytest.mark.parametrize("name", ["usual", "other-prefix", "two-in-a-row", "closing", "staying", "no-type"])
def test_a_plain_request_takes_the_fast_lane_and_only_where_there_is_one(
    fast_lane: App, flask_lane: App, upstream: Upstream, name: str
) -> None:
    for app, way in ((fast_lane, "fast"), (flask_lane, "flask")):
        raw, own, _ = script(upstream, ODD[name] + LAST)
        answers = verdicts(app, raw)
        assert {status for status, _, _ in answers} == {200}
        assert set(app.get(f"/relay-test/ways/{own}").json()) == {way}


NOT_PLAIN = [*MUST_HIDE, "chunked", "old", "query", "expect", "two-hosts", "folded", "many-fields", "latin-1-value"]


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_never_takes_the_fast_lane(fast_lane: App, upstream: Upstream, name: str) -> None:
    raw, own, _ = script(upstream, ODD[name] + LAST)
    verdicts(fast_lane, raw)
    assert "fast" not in fast_lane.get(f"/relay-test/ways/{own}").json()


def test_a_request_inside_a_body_is_no_request(over_the_socket: App, upstream: Upstream) -> None:
    """However the body is cut, and whether or not it is read: here it is refused before that."""
    for host in (b"Host: 127.0.0.1", b"Host: evil.example"):
        hidden = upstream.answer(ANSWER)
        inside = HIDDEN.replace(b"HIDDEN", hidden.encode())
        own = upstream.answer(ANSWER)
        lines = (host, JSON, b"Content-Length: %d" % len(inside), b"X-Script: " + own.encode())
        raw = head(*lines) + inside + LAST
        for cut in (len(raw), len(head(*lines)), len(head(*lines)) + 20, 10):
            with Client(over_the_socket.port) as client:
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.socket.sendall(raw[:cut])
                if cut < len(raw):
                    eventually(lambda client=client: is_read(client), "it has read the first part")
                    client.socket.sendall(raw[cut:])
                answers = client.rest()
            assert answers.count(b"HTTP/1.1 ") == 2, answers
        assert upstream.heard[hidden] == []


def is_read(client: Client) -> bool:
    """Whether the other side has taken all that was sent from its socket, as far as this one can see: acknowledged."""
    unsent = client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(unsent[24:28], "little") == 0  # tcpi_unacked


def test_a_body_that_comes_in_pieces_is_whole(over_the_socket: App, upstream: Upstream) -> None:
    name = upstream.answer(ANSWER)
    body = json.dumps({"model": "primary", "messages": ["x" * 100_000]}).encode()
    with Client(over_the_socket.port) as client:
        raw = head(HOST, JSON, b"Content-Length: %d" % len(body), b"X-Script: " + name.encode()) + body
        for at in range(0, len(raw), 30_000):
            client.socket.sendall(raw[at : at + 30_000])
        assert client.answer().status == 200
        assert client.is_open()


def test_a_body_that_does_not_come_is_given_up(over_the_socket: App, upstream: Upstream) -> None:
    name = upstream.answer(ANSWER)
    with Client(over_the_socket.port) as client:
        client.socket.sendall(head(*USUAL).replace(b"NAME", name.encode()) + BODY[:10])
        answer = client.answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (408, "request.timeout")
        assert client.rest() == b""
    assert upstream.heard[name] == []


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_a_record(
    over_the_socket: App, upstream: Upstream
) -> None:
    name = upstream.answer(ANSWER)
    with Client(over_the_socket.port) as client:
        told = head(*USUAL, b"X-Request-Id: left-" + name.encode()).replace(b"NAME", name.encode())
        client.socket.sendall(told + BODY[:10])
    record = eventually(lambda: recorded(over_the_socket, f"left-{name}"), "its record")
    assert (record["outcome"], record["error_code"]) == ("client_gone", "client.gone")


def recorded(app: App, id_: str) -> dict[str, Any] | None:
    return next((one for one in app.get("/api/requests").json() if one["id"] == id_), None)


def test_records_metrics_and_explanations_are_those_of_the_other_lane(
    fast_lane: App, flask_lane: App, upstream: Upstream
) -> None:
    told = []
    for app in (fast_lane, flask_lane):
        name = upstream.answer(ANSWER)
        for nth, more in enumerate(((), (b"X-Hal0-Agent: me",), (b"Host: evil.example",))):
            lines = [b"X-Request-Id: %s-%d" % (name.encode(), nth), *USUAL, *more]
            lines = [line for line in lines if not (line == HOST and nth == 2)]
            with Client(app.port) as client:
                client.socket.sendall(head(*lines).replace(b"NAME", name.encode()) + BODY)
                assert client.answer().headers["x-request-id"] == f"{name}-{nth}"
        ids = [f"{name}-{nth}" for nth in range(3)]
        records = [eventually(lambda app=app, id_=id_: recorded(app, id_), "a record") for id_ in ids]
        moment = {"ts", "total_ms", "seq", "id", "ttft_ms"}
        told.append([{key: value for key, value in one.items() if key not in moment} for one in records])
    assert told[0] == told[1]
    assert [one["outcome"] for one in told[0]] == ["complete", "complete", "refused"]


def test_a_head_that_dribbles_in_holds_nobody_up_and_may_take_as_long_as_a_connection_may_be_idle(
    fast_lane: App, flask_lane: App
) -> None:
    with Client(fast_lane.port) as one, Client(flask_lane.port) as other:
        for client in (one, other):
            client.socket.sendall(b"POST /v1/chat/comp")
        assert fast_lane.get("/healthz").ok
        began = time.monotonic()
        assert (one.rest(), other.rest()) == (b"", b"")
        assert time.monotonic() - began < 4 * KEEP_ALIVE_S


EVENT = b"9\r\ndata: 1\n\n\r\n"


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "flask"])
def test_a_stream_under_way_is_finished_when_hal0_stops_and_then_its_connection_ends(
    upstream: Upstream, fast: bool
) -> None:
    go_on = threading.Event()

    def play(exchange: Exchange) -> None:
        exchange.body()
        exchange.say(STREAM + EVENT)
        assert go_on.wait(30)
        exchange.say(EVENT + b"0\r\n\r\n")

    with front(upstream, GUNICORN, fast) as app, Client(app.port) as client:
        client.chat(upstream.on_request(play))
        client.until(EVENT)
        assert app.process is not None
        app.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listens(app.port), "it takes no more connections")
        go_on.set()
        assert client.until(b"0\r\n\r\n") == EVENT + b"0\r\n\r\n"
        assert client.rest() == b""
        assert app.process.wait(30) == 0


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
