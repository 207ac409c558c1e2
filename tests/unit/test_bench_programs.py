"""The bench's programs in C: the generator sees what a proxy breaks, the upstream sees a client leave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contenders import Contender
from tests.bench.generator import load
from tests.bench.ground import Ground, get_json, running, wait_until_up
from tests.bench.programs import program
from tests.support.engines import free_port
from tests.support.waiting import eventually

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE, END = b"data: [DONE]\n\n", b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


def token(sequence: int) -> bytes:
    return b'data: {"content":"@%d,1@"}\n\n' % sequence


def stream(*sequences: int) -> bytes:
    return b"".join(chunk(token(one)) for one in sequences)


@contextmanager
def answering(answer: bytes, piece: int = 1 << 16) -> Iterator[Contender]:
    """A server that gives everybody this answer, in pieces, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.recv(65536)
                    for at in range(0, len(answer), piece):
                        client.sendall(answer[at : at + piece])

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield Contender("test", listener.getsockname()[1], Ground(0, 0, Path()))
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def told(answer: bytes, piece: int = 1 << 16) -> dict[str, Any]:
    with answering(answer, piece) as to:
        return load("streams", to, connections=1, tokens=3, seconds=5)


GOOD = HEAD + stream(0, 1, 2) + chunk(DONE) + END


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 16])
def test_a_whole_stream_is_good_however_it_is_cut(piece: int) -> None:
    seen = told(GOOD, piece)
    assert [seen[name] for name in ("finished", "all_tokens", "errors", "broken", "out_of_order")] == [1, 3, 0, 0, 0]


def test_trailers_extensions_and_interim_answers_are_part_of_a_good_answer() -> None:
    fancy = chunk(DONE).replace(b"\r\n", b";x=y\r\n", 1)
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + stream(0, 1, 2) + fancy + b"0\r\nX-Trailer: yes\r\n\r\n"
    seen = told(answer, piece=3)
    assert [seen[name] for name in ("finished", "errors", "broken")] == [1, 0, 0]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (HEAD + stream(0, 2, 1) + chunk(DONE) + END, "out_of_order"),
        (HEAD + stream(0, 2) + chunk(DONE) + END, "out_of_order"),
        (HEAD + stream(0, 0, 1, 2) + chunk(DONE) + END, "out_of_order"),
        (HEAD + chunk(DONE) + stream(0) + END, "out_of_order"),
        (HEAD + stream(0, 1, 2) + END, "broken"),
        (HEAD + stream(0, 1, 2) + chunk(DONE)[:-2] + END, "broken"),
        (HEAD + stream(0, 1, 2) + chunk(DONE).removesuffix(b"\r\n") + b"x\r\n" + END, "broken"),
        (HEAD + stream(0, 1, 2) + b"zz\r\n" + DONE, "broken"),
        (HEAD + stream(0, 1, 2) + chunk(DONE) + END + b"more", "broken"),
        (HEAD.replace(b"200", b"503") + chunk(DONE) + END, "broken"),
        (HEAD + stream(0, 1, 2), "errors"),
        (HEAD[:20], "errors"),
        (b"", "errors"),
    ],
    ids=["swapped", "missing", "twice", "after the end", "no DONE", "a chunk too short", "a chunk too long", "no size",
         "more", "status", "cut off", "half a head", "nothing"],
)  # fmt: skip
def test_every_fault_of_a_stream_is_counted(answer: bytes, fault: str) -> None:
    assert told(answer)[fault] >= 1


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Contender]:
    port, log = free_port(), tmp_path / "upstream.log"
    with running([str(program("upstream")), str(port)], log) as process:
        wait_until_up(process, port, "/stats", log)
        yield Contender("direct", port, Ground(port, 0, tmp_path))


def test_the_upstream_streams_tokens_in_order(upstream: Contender) -> None:
    seen = load(
        "streams", upstream, connections=50, tokens=40, interval_us=1000, ramp_ms=50, seconds=5, hint="pad=3000"
    )
    assert [seen[name] for name in ("finished", "all_tokens")] == [50, 2000]
    assert [seen[name] for name in ("errors", "broken", "out_of_order")] == [0, 0, 0]


def test_the_upstream_answers_whole_requests_on_one_connection(upstream: Contender) -> None:
    seen = load("requests", upstream, connections=2, seconds=1)
    assert seen["finished"] > 2
    assert [seen[name] for name in ("errors", "broken")] == [0, 0]


def post(port: int, path: str, body: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def test_the_upstream_notes_a_client_that_leaves_before_its_answer(upstream: Contender) -> None:
    client = post(upstream.port, "/v1/chat/completions", json.dumps({"user": "ttft=60000"}).encode())
    eventually(lambda: get_json(upstream.port, "/stats")["active"] == 1, within=10)
    client.close()
    eventually(lambda: get_json(upstream.port, "/stats")["gone"] == 1, within=10)
    assert get_json(upstream.port, "/stats")["active"] == 0


def test_the_upstream_tells_when_an_upload_came(upstream: Contender) -> None:
    with post(upstream.port, "/v1/audio/transcriptions", b"x" * 300_000) as client:
        answer = client.makefile("rb").read1(65536)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert told["bytes"] == 300_000
    assert 0 < told["first_ns"] <= told["last_ns"]
