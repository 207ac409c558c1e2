"""Clients that leave at random: before the queue, in it, during a load, before and after the first token."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.app import App

CLIENTS = 12
TOKENS = 3000
GIVE_UP_S = 300.0
PATIENCE_S = 3.0  # how long a client waits for the moment at which it wants to leave
LOOK_S = 0.03
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: leave with a reset, not with an end

# Where a client is by what its slot shows.
SHOWN: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "queued": lambda slot: slot["queued"] > 0,
    "loading": lambda slot: slot["state"] == "starting",
    "running": lambda slot: slot["in_flight"] > 0,
}
CHATS_ONLY = ("loading", "first token")
STAGES = ("half sent", "at once", *SHOWN, "first token", "end")


@dataclass
class Seen:
    """How often clients left where they wanted to, by stage and whether they streamed; and what went wrong."""

    left: Counter[tuple[str, bool]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def missed(self) -> list[str]:
        """The stages at which nobody left, streaming or (but for the first token) not; loads are too rare for both."""
        streaming = [stage for stage in STAGES if not self.left[stage, True] and stage != "loading"]
        plain = [stage for stage in STAGES if not self.left[stage, False] and stage not in ("loading", "first token")]
        loading = self.left["loading", True] + self.left["loading", False]
        return [*streaming, *plain, *([] if loading else ["loading"])]


def ask(slot: str, stream: bool, tokens: int) -> bytes:
    """A chat, or for a slot of another type its like, as it is sent."""
    chat = {"messages": [{"role": "user", "content": "count"}], "max_tokens": tokens, "ignore_eos": True}
    asked = {"input": "a cat"} if slot == "embed" else {**chat, "stream": stream}
    raw = json.dumps({"model": slot, **asked}).encode()
    path = "embeddings" if slot == "embed" else "chat/completions"
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


class Leaver:
    """One client after the other, each on a connection of its own."""

    def __init__(self, app: App, slots: list[str], seed: int, seen: Seen) -> None:
        self._app, self._slots, self._seen = app, slots, seen
        self._chance = random.Random(seed)

    def one(self) -> None:
        """Ask, and leave at a random moment."""
        stage = self._chance.choice(STAGES)
        slot = self._chance.choice([one for one in self._slots if stage not in CHATS_ONLY or one != "embed"])
        stream = stage == "first token" or self._chance.random() < 0.5  # of a plain answer nobody sees the first token
        raw = ask(slot, stream, 8 if stage == "end" else TOKENS)
        with socket.create_connection(("127.0.0.1", self._app.port), timeout=GIVE_UP_S) as connection:
            with suppress(ConnectionError):
                connection.sendall(raw[: self._chance.randrange(1, len(raw))] if stage == "half sent" else raw)
                if self._stays_until(stage, slot, connection):
                    self._seen.left[stage, stream] += 1
            if self._chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _stays_until(self, stage: str, slot: str, connection: socket.socket) -> bool:
        """Whether the moment came."""
        if stage in SHOWN:
            return self._sees(SHOWN[stage], slot)
        if stage == "first token":
            return self._reads(connection, b'"content"')
        if stage == "end":
            return self._reads_all(connection)
        return True

    def _sees(self, there: Callable[[Mapping[str, Any]], bool], slot: str) -> bool:
        pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if there(self._app.slot(slot)):
                return True
            pause.wait(LOOK_S)
        return False

    def _reads(self, connection: socket.socket, wanted: bytes) -> bool:
        read = b""
        while wanted not in read:
            piece = connection.recv(4096)
            if not piece:
                return False
            read += piece
        return True

    def _reads_all(self, connection: socket.socket) -> bool:
        read = b""
        while piece := connection.recv(65536):
            read += piece
        if not read.startswith(b"HTTP/1.1 200"):
            self._seen.failures.append(read.decode("utf-8", "replace")[-500:])
        return True


def run(app: App, slots: list[str], seconds: float, seed: int = 0, within: float = 0.0) -> Seen:
    """Let clients come and leave for so long, and then until they have left at every stage, or for `within` seconds."""
    seen, began = Seen(), time.monotonic()

    def leave(number: int) -> None:
        leaver = Leaver(app, slots, seed * CLIENTS + number, seen)
        while (took := time.monotonic() - began) < seconds or (took < within and seen.missed()):
            leaver.one()

    with ThreadPoolExecutor(CLIENTS) as pool:
        for one in [pool.submit(leave, number) for number in range(CLIENTS)]:
            one.result()
    return seen
