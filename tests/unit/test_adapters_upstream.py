"""adapters/upstream: one request over a real socket, and every way in which the other side can let it down."""

from __future__ import annotations

import resource
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, repeat
from typing import Any

import pytest

from hal0app.adapters import connecting, connections
from hal0app.adapters import upstream as adapter
from hal0app.adapters.upstream import HttpCall, HttpUpstream
from hal0app.core.upstream import SILENCE_S, Aborted, Broken, Silent, Unheard, Unreached, UpstreamError
from tests.unit.fakes import Asking

Talk = Callable[[socket.socket], None]


class Server:
    """Accepts connections one after the other; `talk` has each. `heard` is what was read of the requests."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                peer.settimeout(20)
                with peer, suppress(ConnectionError):
                    self._talk(peer)
                self.ended.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


@contextmanager
def serving(talk: Talk) -> Iterator[Server]:
    server = Server(talk)
    try:
        yield server
    finally:
        server.close()


def head_of(peer: socket.socket) -> bytes:
    """The request's head, and what came with it."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = peer.recv(65536)
        if not piece:
            break
        read += piece
    return read


def saying(*pieces: bytes, wait: threading.Event | None = None) -> Talk:
    """Read the head, say the pieces, wait if told so, close."""

    def talk(peer: socket.socket) -> None:
        head_of(peer)
        for piece in pieces:
            peer.sendall(piece)
        if wait is not None:
            wait.wait(20)

    return talk


MADE: list[HttpUpstream] = []


def upstream(*how: Any) -> HttpUpstream:
    """An upstream whose idle connections are closed after the test."""
    MADE.append(HttpUpstream(*how))
    return MADE[-1]


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().stop()


def call(url: str, method: str = "GET", path: str = "/x", body: Any = None, headers: Any = ()) -> HttpCall:
    made = upstream().call(url, method, path, headers, body)
    assert isinstance(made, HttpCall)
    return made


def answer(talk: Talk, **how: Any) -> tuple[int, bytes]:
    """The whole answer of a server that talks so."""
    with serving(talk) as server:
        reply = call(server.url, **how).reply()
        try:
            return reply.status, b"".join(reply.chunks())
        finally:
            reply.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello"),
        (OK + b"Content-Length: 5\r\n\r\nhello and more", 200, b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b""),
        (CHUNKED + b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n", 200, b"hello!"),
        (CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hello"),
        (CHUNKED + b"0\r\n\r\n", 200, b""),
        (OK + b"\r\nhello", 200, b"hello"),
        (OK + b"Connection: close\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", 302, b""),
    ],
    ids=[
        *("length", "more-than-its-length", "empty", "chunked", "trailer", "empty-chunked", "close-delimited"),
        *("close-told", "http-1.0", "continue", "204", "204-with-length", "304", "500", "redirect-not-followed"),
    ],
)
def test_an_answer_is_read_as_its_head_says(said: bytes, status: int, body: bytes) -> None:
    assert answer(saying(said)) == (status, body)


def test_an_answer_that_comes_byte_by_byte_is_whole() -> None:
    said = CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"
    assert answer(saying(*(said[n : n + 1] for n in range(len(said))))) == (200, b"hello")


def test_a_head_request_has_no_body_whatever_its_length_says() -> None:
    assert answer(saying(OK + b"Content-Length: 5\r\n\r\n"), method="HEAD") == (200, b"")


def test_a_piece_is_handed_on_as_soon_as_it_is_there() -> None:
    go_on = threading.Event()

    def talk(peer: socket.socket) -> None:
        head_of(peer)
        peer.sendall(CHUNKED + b"5\r\nfirst\r\n")
        assert go_on.wait(20), "the first piece was held back"
        peer.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    with serving(talk) as server:
        reply = call(server.url).reply()
        body = reply.chunks()
        assert next(body) == b"first"
        go_on.set()
        assert b"".join(body) == b"second"
        reply.close()


# -- not there


def test_a_refused_connection_is_unreached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreached):
        call(f"http://127.0.0.1:{port}").reply()


@pytest.mark.parametrize("url", ["http://nowhere.invalid:1", "http://256.0.0.1:1"])
def test_a_host_that_does_not_exist_is_unreached(url: str) -> None:
    with pytest.raises(Unreached):
        call(url).reply()


def test_a_close_before_the_head_is_unreached() -> None:
    with pytest.raises(Unreached):
        answer(saying())


def test_a_reset_before_the_head_is_unreached() -> None:
    def talk(peer: socket.socket) -> None:
        head_of(peer)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with pytest.raises(Unreached):
        answer(talk)


@contextmanager
def out_of_files() -> Iterator[None]:
    """This process can open nothing meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_out_of_files_says_nothing_of_the_other_side() -> None:
    with serving(saying()) as server:
        made = call(server.url)
        with out_of_files(), pytest.raises(Unheard, match="Too many open files"):
            made.reply()


@pytest.fixture
def hung() -> Iterator[tuple[str, socket.socket]]:
    """The URL of a backend that takes no connection, and its listener."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(3):  # more than the kernel keeps for it
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.mark.parametrize("look_s", [0.05, 60])
def test_a_backend_that_takes_no_connection_is_not_gone(
    monkeypatch: pytest.MonkeyPatch, hung: tuple[str, socket.socket], look_s: float
) -> None:
    monkeypatch.setattr(connections, "CONNECT_S", 0.2)
    monkeypatch.setattr(connecting, "LOOK_S", look_s)
    with pytest.raises(Unheard, match="timed out"):
        call(hung[0]).reply()


def test_a_call_that_waits_for_its_connection_can_be_aborted(
    monkeypatch: pytest.MonkeyPatch, hung: tuple[str, socket.socket]
) -> None:
    monkeypatch.setattr(connections, "CONNECT_S", 600)
    made = call(hung[0])
    asking = Asking(made.reply)
    made.abort()
    with pytest.raises(Aborted):
        asking.result()


def test_a_connection_that_is_taken_late_is_used(
    monkeypatch: pytest.MonkeyPatch, hung: tuple[str, socket.socket]
) -> None:
    monkeypatch.setattr(connections, "CONNECT_S", 60)
    monkeypatch.setattr(connecting, "LOOK_S", 0.01)
    url, listener = hung
    asking = Asking(call(url).reply)
    listener.settimeout(20)
    while asking.is_alive():  # among the others is ours
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            peer.settimeout(0.5)
            head_of(peer)
            peer.sendall(OK + b"Content-Length: 0\r\n\r\n")
            break
    reply = asking.result()
    assert (reply.status, reply.connection.gettimeout()) == (200, SILENCE_S)
    reply.close()


# -- there, and then not


@pytest.mark.parametrize(
    "said",
    [
        OK + b"Content-Length: 10\r\n\r\nhello",
        OK + b"Content-Length: 10\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n3",
        CHUNKED + b"xyz\r\nhello\r\n",
    ],
    ids=[
        *("length-cut", "length-no-body", "chunked-no-body", "in-a-chunk", "after-a-chunk", "between-chunks"),
        *("in-a-size", "no-size"),
    ],
)
def test_an_answer_that_ends_too_early_is_broken(said: bytes) -> None:
    with pytest.raises(Broken):
        answer(saying(said))


@pytest.mark.parametrize(
    "said", [b"hello\r\n", b"SSH-2.0-OpenSSH\r\n", b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 70_000]
)
def test_what_is_not_http_is_broken(said: bytes) -> None:
    with pytest.raises(Broken):
        answer(saying(said))


def test_a_reset_in_the_body_is_broken() -> None:
    def talk(peer: socket.socket) -> None:
        head_of(peer)
        peer.sendall(CHUNKED + b"5\r\nhello\r\n")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with pytest.raises(Broken):
        answer(talk)


def test_pieces_before_the_break_are_handed_on() -> None:
    with serving(saying(CHUNKED + b"5\r\nhello\r\n")) as server:
        reply = call(server.url).reply()
        body = reply.chunks()
        assert next(body) == b"hello"
        with pytest.raises(Broken):
            next(body)
        reply.close()


# -- our own end of it


def aborted(talk: Talk, waiting: threading.Event, read: bool) -> None:
    """Abort the call from another thread once the server says that we are `waiting`."""
    with serving(talk) as server:
        made = call(server.url)

        def run() -> None:
            reply = made.reply()
            if read:
                for _ in reply.chunks():
                    pass

        asking = Asking(run)
        assert waiting.wait(20)
        made.abort()
        made.abort()
        with pytest.raises(Aborted):
            asking.result()
        assert server.ended.wait(20), "the server still has its connection"
        made.close()


def held(waiting: threading.Event, *said: bytes) -> Talk:
    """Say so much, then wait for the other side to end it."""

    def talk(peer: socket.socket) -> None:
        head_of(peer)
        for piece in said:
            peer.sendall(piece)
        waiting.set()
        assert peer.recv(1) == b""

    return talk


def test_a_call_that_waits_for_the_head_can_be_aborted() -> None:
    waiting = threading.Event()
    aborted(held(waiting), waiting, read=False)


def test_a_call_in_the_middle_of_a_chunked_body_can_be_aborted() -> None:
    waiting = threading.Event()
    aborted(held(waiting, CHUNKED, b"5\r\nhello\r\n"), waiting, read=True)


def test_a_call_in_the_middle_of_a_body_of_known_length_can_be_aborted() -> None:
    waiting = threading.Event()
    aborted(held(waiting, OK + b"Content-Length: 10\r\n\r\nhello"), waiting, read=True)


@pytest.mark.parametrize(
    "said",
    [
        CHUNKED[:-2] + b"Connection: close\r\n\r\n5\r\nhello\r\n",
        OK + b"Connection: close\r\nContent-Length: 10\r\n\r\nhello",
        OK + b"\r\nhello",
    ],
    ids=["chunked", "length", "close-delimited"],
)
def test_a_body_that_is_to_end_with_its_connection_can_be_aborted_while_it_is_read(said: bytes) -> None:
    waiting, reading = threading.Event(), threading.Event()
    with serving(held(waiting, said)) as server:
        made = call(server.url)

        def run() -> None:
            reply = made.reply()
            try:
                for _ in reply.chunks():
                    reading.set()
            finally:
                reply.close()

        asking = Asking(run)
        assert reading.wait(20)
        made.abort()
        with pytest.raises(Aborted):
            asking.result(10)
        assert server.ended.wait(20), "the server still has its connection"


def test_closing_a_reply_in_the_middle_ends_the_connection() -> None:
    waiting = threading.Event()
    with serving(held(waiting, CHUNKED + b"5\r\nhello\r\n")) as server:
        reply = call(server.url).reply()
        assert next(reply.chunks()) == b"hello"
        reply.close()
        reply.close()
        assert server.ended.wait(20)


def test_a_call_aborted_after_its_end_is_no_trouble() -> None:
    with serving(saying(OK + b"Content-Length: 2\r\n\r\nok")) as server:
        made = call(server.url)
        reply = made.reply()
        assert b"".join(reply.chunks()) == b"ok"
        made.abort()
        reply.close()
        made.abort()


def test_every_failure_is_an_upstream_error() -> None:
    assert all(issubclass(one, UpstreamError) for one in (Unreached, Unheard, Broken, Silent, Aborted))


# -- what is sent


def heard(**how: Any) -> bytes:
    """What the server heard of a request, to the end of its body."""
    told: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        read = head_of(peer)
        head, _, rest = read.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        chunked = b"transfer-encoding: chunked" in head.lower()
        while len(rest) < length or (chunked and not rest.endswith(b"0\r\n\r\n")):
            rest += peer.recv(65536)
        told.append(head + b"\r\n\r\n" + rest)
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    assert answer(talk, **how) == (200, b"")
    return told[0]


def test_a_request_is_sent_with_its_headers_and_nothing_invented() -> None:
    sent = heard(method="POST", path="/v1/a?b=c", body=b"body", headers=[("X-A", "1"), ("Content-Type", "t/t")])
    head, _, body = sent.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/a?b=c HTTP/1.1"
    assert lines[1].startswith(b"Host: 127.0.0.1:")
    assert lines[2:] == [b"X-A: 1", b"Content-Type: t/t", b"Content-Length: 4"]
    assert body == b"body"


def test_an_empty_body_has_a_length() -> None:
    assert b"Content-Length: 0\r\n" in heard(method="POST", body=b"")


def test_a_body_of_unknown_length_goes_chunked() -> None:
    sent = heard(method="POST", body=iter([b"ab", b"cde"]))
    assert sent.endswith(b"\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")


def test_an_empty_piece_does_not_end_an_upload() -> None:
    sent = heard(method="POST", body=iter([b"ab", b"", b"cd"]))
    assert sent.endswith(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


def test_an_answer_that_comes_before_the_upload_is_through_is_read() -> None:
    said = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    assert answer(saying(said), method="POST", body=b"x" * (8 << 20)) == (413, b"no")


def test_an_answer_that_comes_while_the_upload_pauses_is_read() -> None:
    said = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    pauses = chain([b"x"], repeat(b""))
    assert answer(saying(said), method="POST", body=pauses) == (413, b"no")


def listening(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


def test_an_upload_whose_own_source_breaks_off_says_nothing_of_the_other_side() -> None:
    def upload() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError("the client left")

    with serving(listening) as server:
        made = call(server.url, method="POST", body=upload())
        with pytest.raises(Aborted):
            made.reply()


def test_a_body_is_not_kept_while_its_answer_streams() -> None:
    sent, over = (piece for piece in [b"a long prompt"]), threading.Event()
    kept = weakref.ref(sent)
    with serving(saying(OK + b"Content-Length: 2\r\n\r\n", wait=over)) as server:
        reply = call(server.url, method="POST", body=sent).reply()
        del sent
        assert kept() is None
        over.set()
        reply.close()


def test_a_path_that_cannot_be_sent_is_broken() -> None:
    with pytest.raises(Broken):
        answer(saying(), path="/v1/models/café")


def test_a_body_of_told_length_goes_as_it_is() -> None:
    sent = heard(method="POST", body=iter([b"ab", b"cde"]), headers=[("content-length", "5")])
    assert sent.endswith(b"\r\n\r\nabcde")
    assert b"chunked" not in sent


@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "pieces"])
def test_a_big_body_arrives_whole(as_bytes: bool) -> None:
    piece = bytes(range(256)) * 4096
    sent = heard(method="POST", body=piece * 8 if as_bytes else iter([piece] * 8))
    assert len(sent) > 8 * len(piece)
    assert sent.count(piece) == 8


def test_the_path_of_the_base_url_comes_first() -> None:
    said: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        said.append(head_of(peer))
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with serving(talk) as server:
        call(server.url + "/v1/", path="/chat").reply().close()
    assert said[0].startswith(b"GET /v1/chat HTTP/1.1\r\n")


def test_lemonds_key_goes_to_lemond_and_to_nobody_else() -> None:
    said: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        said.append(head_of(peer))
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with serving(talk) as lemond, serving(talk) as child:
        relay = upstream(lemond.url, "secret")
        for url in (lemond.url, child.url):
            relay.call(url, "GET", "/", [], None).reply().close()
    assert [b"Authorization: Bearer secret" in one for one in said] == [True, False]


def test_a_long_silence_is_allowed_for_a_long_prefill() -> None:
    assert SILENCE_S >= 600


def test_headers_come_down_without_the_framing() -> None:
    with serving(saying(CHUNKED[:-2] + b"X-A: 1\r\nX-A: 2\r\n\r\n0\r\n\r\n")) as server:
        reply = call(server.url).reply()
        assert reply.headers == (("X-A", "1"), ("X-A", "2"))
        reply.close()


def test_who_is_patient_waits_for_the_head_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "SILENCE_S", 0.05)
    heard, speak = threading.Semaphore(0), threading.Event()

    def talk(peer: socket.socket) -> None:
        with suppress(OSError):
            head_of(peer)
            heard.release()
            speak.wait(20)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with serving(talk) as one, serving(talk) as other:
        patient = upstream().call(one.url, "GET", "/x", (), None, patient=True)
        asking = Asking(patient.reply)
        assert heard.acquire(timeout=20)
        with pytest.raises(Silent):
            call(other.url).reply()
        speak.set()
        reply = asking.result()
        assert (reply.status, reply.connection.gettimeout()) == (200, 0.05)
        reply.close()
