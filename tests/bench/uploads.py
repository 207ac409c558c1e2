"""Uploads of 1 MB as a client sends an audio file, at once or slowly."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from tests.bench.contenders import Contender
from tests.bench.generator import Failed
from tests.bench.measure import Figures

FILE_BYTES = 1_000_000
PARTS, PAUSE_S = 10, 0.05
SLOW, SLOW_PARTS, SLOW_PAUSE_S = 50, 20, 0.1  # 50 uploads of 2 s each
BOUNDARY = "bench-boundary"


def _request(to: Contender) -> tuple[bytes, int]:
    """The whole request, and the length of its body."""
    disposition = 'Content-Disposition: form-data; name="'
    fields = f'--{BOUNDARY}\r\n{disposition}model"\r\n\r\n{to.ears}\r\n'
    fields += f'--{BOUNDARY}\r\n{disposition}file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    body = fields.encode() + b"x" * FILE_BYTES + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1:{to.port}\r\nAuthorization: Bearer bench\r\n"
    head += f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body, len(body)


def _cut(data: bytes, parts: int) -> list[bytes]:
    size = len(data) // parts + 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def _answer(client: socket.socket) -> dict[str, Any]:
    """The JSON of the answer. Raises Failed when it is none, or not a good one."""
    answer = client.makefile("rb")
    status, length = answer.readline(), 0
    while (line := answer.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = answer.read(length)
    if b" 200 " not in status:
        raise Failed(f"an upload was answered {status!r} {body[:300]!r}")
    told: dict[str, Any] = json.loads(body)
    return told


def upload(to: Contender) -> Figures:
    """One upload in parts: whether the first byte was there before the last was sent, and whether all came."""
    data, length = _request(to)
    with socket.create_connection(("127.0.0.1", to.port), timeout=10) as client:
        for part in _cut(data, PARTS):
            sent = time.monotonic_ns()
            client.sendall(part)
            time.sleep(PAUSE_S)
        told = _answer(client)
    streamed = 0 < told.get("first_ns", 0) < sent
    return {"streamed": float(streamed), "whole": float(told.get("bytes") == length)}


def uploads(to: Contender) -> Iterator[None]:
    """Many slow uploads at once; yields while they are under way. Raises Failed when one is not answered well."""
    data, length = _request(to)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", to.port), timeout=10)) for _ in range(SLOW)
        ]
        for part in _cut(data, SLOW_PARTS):
            for client in clients:
                client.sendall(part)
            time.sleep(SLOW_PAUSE_S)
            yield
        if any(_answer(client)["bytes"] != length for client in clients):
            raise Failed("an upload lost bytes")
