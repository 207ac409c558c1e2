"""Connections that are kept open between two requests to the same address."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hal0app.adapters.connecting import Address, connected

CONNECT_S = 5.0
IDLE_S = 4.0  # lemond and llama-server close one that was idle for 5 s
IDLE_PER_ADDRESS = 16
SWEEP_S = 1.0


def connect(address: Address, silence_s: float, wanted: Callable[[], bool] | None = None) -> socket.socket:
    """A new connection that waits `silence_s` for each byte. Raises OSError, soon when it is not `wanted` any more."""
    made = connected(address, CONNECT_S, wanted)
    made.settimeout(silence_s)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class Connections:
    """Idle connections by address, the one used last first; `most` sets another number than usual for an address."""

    def __init__(self, most: Mapping[Address, int] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = dict(most or {}), clock
        self._lock = threading.Lock()  # taking needs none: what a deque does is one step
        self._idle: dict[Address, deque[tuple[socket.socket, float]]] = {}
        self._stopping = threading.Event()

    def take(self, address: Address) -> socket.socket | None:
        """An idle connection that is still good, if there is one."""
        while (found := self._newest(address)) is not None:
            kept, since = found
            if self._clock() - since < IDLE_S and quiet(kept):
                return kept
            kept.close()
        return None

    def _newest(self, address: Address) -> tuple[socket.socket, float] | None:
        try:
            return self._idle[address].pop()
        except (KeyError, IndexError):
            return None

    def give(self, address: Address, connection: socket.socket) -> None:
        """Keep a connection that has nothing more to say, or close it when there are enough."""
        with self._lock:
            idle = self._idle.setdefault(address, deque())
            idle.append((connection, self._clock()))
            over = idle.popleft()[0] if len(idle) > self._most.get(address, IDLE_PER_ADDRESS) else None
        if over is not None:
            over.close()

    def idle(self, address: Address) -> int:
        """How many are kept for an address now."""
        with self._lock:
            return len(self._idle.get(address, ()))

    def sweep(self) -> None:
        """Close what was idle for too long."""
        before = self._clock() - IDLE_S
        old: list[socket.socket] = []
        with self._lock:
            for address, idle in list(self._idle.items()):
                with suppress(IndexError):  # somebody has taken the last one
                    while idle and idle[0][1] <= before:
                        old.append(idle.popleft()[0])
                if not idle:
                    del self._idle[address]
        for one in old:
            one.close()

    def run(self) -> None:
        """Sweep until stopped."""
        while not self._stopping.wait(SWEEP_S):
            self.sweep()

    def stop(self) -> None:
        """End the sweeping and close everything idle."""
        self._stopping.set()
        with self._lock:
            kept, self._idle = self._idle, {}
        for idle in kept.values():
            with suppress(IndexError):  # that was the last one
                while True:
                    idle.pop()[0].close()


def quiet(connection: socket.socket) -> bool:
    """Whether the other side has neither closed it nor said anything unasked."""
    bare = getattr(connection, "_sock", None)  # gevent's, which never waits
    if bare is not None:
        return _says_nothing(bare)
    wait_s = connection.gettimeout()
    try:
        connection.settimeout(0)
        return _says_nothing(connection)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            connection.settimeout(wait_s)


def _says_nothing(connection: Any) -> bool:
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
