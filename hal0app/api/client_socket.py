"""The client's connection: tells, also while nothing is sent, that the client has left.

With gevent nobody notices a close in silence, so a greenlet waits until the socket is readable and peeks: the end of
the stream is a client that left. Pipelined bytes end the watch, or it would spin.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.socket import wait_read


class ClientSocket:
    """Watches one client during one request; without gunicorn's socket (tests, other servers) nobody ever leaves."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._gone = False
        self._watch: Any = None

    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the client leaves, at once when it has left; returns how to take it back."""
        if self._gone:
            callback()
            return lambda: None
        self._callbacks[id(callback)] = callback
        if self._watch is None and self._socket is not None:
            self._watch = gevent.spawn(self._wait)
        return lambda: self._forget(id(callback))

    def _forget(self, key: int) -> None:
        self._callbacks.pop(key, None)
        if not self._callbacks and self._watch is not None:
            self._watch.kill(block=False)
            self._watch = None

    def _wait(self) -> None:
        assert self._socket is not None
        try:
            wait_read(self._socket.fileno())
            left = not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            left = True
        if left:
            self._gone = True
            for callback in list(self._callbacks.values()):
                callback()
