"""Measures of what a proxy does when a client leaves, does not read, or sends slowly."""

from __future__ import annotations

import json
import math
import socket
import statistics
import time
from dataclasses import dataclass

from tests.bench.contenders import Contender
from tests.bench.generator import Failed
from tests.bench.measure import Figures, Measure, When
from tests.bench.uploads import upload, uploads

TRIALS = 3
LEAVE_AFTER_S, WINDOW_S, LOOK_S = 0.2, 2.0, 0.02
SMALL_WINDOW = 65536  # bytes of the client's receive buffer
SLOW_FIRST_S, SLOW_THEN_S = 2.5, 1.5


def post(to: Contender, **more: object) -> bytes:
    """A chat request as it goes over the wire."""
    body = json.dumps({"model": to.model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{to.port}\r\nAuthorization: Bearer bench\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Leaving:
    """When a client leaves: what it has asked for, and how many tokens it has seen by then."""

    name: str
    request: dict[str, object]
    tokens: int = 0


LEAVINGS = (
    Leaving("mid_stream_ms", {"stream": True, "max_tokens": 2000, "seed": 20_000}, tokens=3),
    Leaving("before_first_ms", {"stream": True, "max_tokens": 5, "seed": 0, "user": "ttft=6000"}),
    Leaving("silent_ms", {"stream": True, "max_tokens": 20, "seed": 6_000_000}, tokens=1),
    Leaving("whole_ms", {"user": "ttft=6000"}),
)


def _left(to: Contender, leaving: Leaving) -> float:
    """Milliseconds from the client's close to the upstream's end of the connection; inf when it never sees one."""
    gone = to.ground.seen()["gone"]
    with socket.create_connection(("127.0.0.1", to.port), timeout=8) as client:
        client.sendall(post(to, **leaving.request))
        got = b""
        while got.count(b"@") < 2 * leaving.tokens:
            piece = client.recv(65536)
            if not piece:
                raise Failed(f"the answer ended: {got[-200:]!r}")
            got += piece
        time.sleep(LEAVE_AFTER_S)
        closed = time.monotonic_ns()
    end = time.monotonic() + WINDOW_S
    while time.monotonic() < end:
        seen = to.ground.seen()
        if seen["gone"] > gone and seen["last_gone_ns"] >= closed:
            return (seen["last_gone_ns"] - closed) / 1e6
        time.sleep(LOOK_S)
    return math.inf


def _median_left(to: Contender, leaving: Leaving) -> float:
    times: list[float] = []
    for _ in range(TRIALS):
        times.append(_left(to, leaving))
        to.ground.quiet()
        if math.isinf(times[-1]):
            return math.inf
    return statistics.median(times)


def gone(to: Contender) -> Figures:
    """How long after a client the upstream's connection ends, in the four cases; medians."""
    return {leaving.name: _median_left(to, leaving) for leaving in LEAVINGS}


def slow_reader(to: Contender) -> Figures:
    """A fast stream of 320 MB to a client that does not read: what the upstream could send, what the memory grew by."""
    before, sent = to.memory_mb(), to.ground.seen()["bytes"]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        client.settimeout(5)
        client.connect(("127.0.0.1", to.port))
        client.sendall(post(to, stream=True, max_tokens=20_000, seed=0, user="pad=16000"))
        client.recv(1000)
        time.sleep(SLOW_FIRST_S)
        first = to.ground.seen()["bytes"]
        time.sleep(SLOW_THEN_S)
        last = to.ground.seen()["bytes"]
        growth = to.memory_mb() - before
    to.ground.quiet()
    return {"growth_mb": growth, "accepted_mb": (last - sent) / 1e6, "flowing_mb": (last - first) / 1e6}


def uploading(to: Contender) -> Figures:
    """One upload of 1 MB, then fifty slow ones at once: the memory they take, and its growth while more bytes come."""
    told, before = upload(to), to.memory_mb()
    held = [to.memory_mb() - before for _ in uploads(to)]
    quarter = len(held) // 4
    return {**told, "held_mb": max(held), "growth_mb": max(held[quarter:]) - held[quarter]}


MEASURES = (
    Measure("gone", "gone", gone, tuple(one.name for one in LEAVINGS), when=When.LAST),
    Measure("slow_reader", "slow_reader", slow_reader, ("growth_mb", "accepted_mb", "flowing_mb"), when=When.LAST),
    Measure("upload", "upload", uploading, ("streamed", "whole", "held_mb", "growth_mb"), when=When.LAST),
)
