"""A raw upstream: plays lemond's few control answers, and whatever a test wants of a backend, byte by byte."""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

DEADLINE_S = 60.0
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Exchange:
    """One request on one connection: what was heard, and what can be said."""

    def __init__(self, peer: socket.socket, head: bytes, rest: bytes) -> None:
        self.peer, self.head, self.rest = peer, head, rest
        self.keep = True
        self.over = threading.Event()

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.peer.sendall(piece)

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return None

    def some(self) -> bytes:
        """Some more of the request's body, empty at the end of the connection."""
        piece, self.rest = self.rest, b""
        return piece or self.peer.recv(65536)

    def body(self) -> bytes:
        """The whole body as it came, chunks and all."""
        read = b""
        length = int(self.header("Content-Length") or 0)
        chunked = self.header("Transfer-Encoding") is not None
        while len(read) < length or (chunked and not read.endswith(b"0\r\n\r\n")):
            piece = self.some()
            if not piece:
                raise ConnectionResetError
            read += piece
        return read

    def hung_up(self) -> bool:
        """Wait until the other side has closed the connection."""
        self.keep = False
        with suppress(ConnectionError):
            while self.peer.recv(65536):
                pass
        return True


Play = Callable[[Exchange], Any]


class Upstream:
    """`plays` by the X-Script of a request; `heard` has its exchanges. `connections` counts those that are open."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._plays: dict[str, Play] = {}
        self._names = map(str, itertools.count())
        self.heard: dict[str, list[Exchange]] = {}
        self.scripted: set[socket.socket] = set()  # open connections that carried a scripted request
        self.problems: list[BaseException] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def on_request(self, play: Play) -> str:
        """Have a script; returns the name to ask for it by."""
        name = next(self._names)
        self._plays[name] = play
        self.heard[name] = []
        return name

    def answer(self, *pieces: bytes, keep: bool = True) -> str:
        """A script that reads the body, says the pieces and perhaps closes."""

        def play(exchange: Exchange) -> None:
            exchange.body()
            exchange.say(*pieces)
            exchange.keep = keep

        return self.on_request(play)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        peer.settimeout(DEADLINE_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            try:
                rest = b""
                while (found := _head(peer, rest)) is not None:
                    exchange = Exchange(peer, *found)
                    self._play(exchange)
                    rest = exchange.rest
                    if not exchange.keep:
                        break
            except (ConnectionError, TimeoutError):
                pass
            except BaseException as problem:  # noqa: BLE001 - the test looks at it
                self.problems.append(problem)
            finally:
                self.scripted.discard(peer)

    def _play(self, exchange: Exchange) -> None:
        name = exchange.header("X-Script")
        if name is None:
            self._control(exchange)
            return
        self.scripted.add(exchange.peer)
        self.heard[name].append(exchange)
        try:
            self._plays[name](exchange)
        finally:
            exchange.over.set()

    def _control(self, exchange: Exchange) -> None:
        exchange.body()
        exchange.keep = not exchange.head.split(b"\r\n")[0].endswith(b"HTTP/1.0")
        path = exchange.head.split(b" ")[1].decode()
        found = self._told(path)
        body = json.dumps(found or {"error": f"nothing at {path}"}).encode()
        status = b"200 OK" if found is not None else b"404 Not Found"
        exchange.say(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            status, len(body), body,
        ))  # fmt: skip

    def _told(self, path: str) -> dict[str, Any] | None:
        model = {"id": "m", "labels": [], "recipe": "llamacpp", "downloaded": True, "checkpoint": "x"}
        loaded = {
            "model_name": "m",
            "type": "llm",
            "recipe": "llamacpp",
            "slot_pool": "standard/llm",
            "backend_url": f"{self.url}/backend/v1",
            "pid": os.getpid(),
        }
        health = {"status": "ok", "version": "11.7.0", "all_models_loaded": [loaded], "max_models": {"llm": 2}}
        return {
            "/live": {},
            "/v1/health": health,
            "/v1/models": {"object": "list", "data": [model]},
            "/v1/models/m": model,
        }.get(path)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _head(peer: socket.socket, read: bytes) -> tuple[bytes, bytes] | None:
    while (end := read.find(b"\r\n\r\n")) < 0:
        piece = peer.recv(65536)
        if not piece:
            return None
        read += piece
    return read[:end], read[end + 4 :]


def chunked(*payloads: bytes, trailers: bytes = b"", extension: bytes = b"") -> bytes:
    """A chunked body."""
    parts = b"".join(b"%x%s\r\n%s\r\n" % (len(one), extension, one) for one in payloads if one)
    return parts + b"0\r\n" + trailers + b"\r\n"
