"""Notices that the peer of a socket has left, though nobody reads from it.

With gevent nobody notices a close in silence. So the hub watches the socket and peeks when it is readable: the end of
the stream is a peer that left. While bytes wait that somebody else will read, peeking would spin; then the kernel is
asked for the state of the connection, once a second.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from gevent import get_hub

READABLE = 1
ASK_S = 1.0
ESTABLISHED = 1  # the first byte of struct tcp_info


class Watch:
    """Calls `left` once, in the hub. `peeking` False: the bytes that come are for somebody else.

    `readable` is a watcher of the hub's for just that, lent by who has one.
    """

    def __init__(
        self, peer: socket.socket, left: Callable[[], None], peeking: bool = True, readable: Any = None
    ) -> None:
        self._peer, self._left = peer, left
        self._lent = readable is not None
        self._readable: Any = readable if self._lent else get_hub().loop.io(peer.fileno(), READABLE)
        self._asking: Any = None
        if peeking:
            self.peek()
        else:
            self.ask()

    def peek(self) -> None:
        """Look at what comes."""
        self._ask_no_more()
        self._readable.start(self._look)

    def ask(self) -> None:
        """Leave what comes alone."""
        self._readable.stop()
        if self._asking is None:
            self._asking = get_hub().loop.timer(ASK_S, ASK_S)
            self._asking.start(self._state)

    def stop(self) -> None:
        """Watch no more; must come before the socket is closed."""
        self._readable.stop()
        if not self._lent:
            self._readable.close()
        self._ask_no_more()

    def _ask_no_more(self) -> None:
        if self._asking is not None:
            self._asking.stop()
            self._asking.close()
            self._asking = None

    def _look(self) -> None:
        try:
            waiting = bare(self._peer).recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            waiting = b""
        if waiting:
            self.ask()
        else:
            self._tell()

    def _state(self) -> None:
        try:
            state = self._peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except OSError:
            return  # no TCP: nobody can say
        if state != ESTABLISHED:
            self._tell()

    def _tell(self) -> None:
        self._readable.stop()
        self._ask_no_more()
        self._left()


def bare(one: Any) -> Any:
    """The socket without gevent's waiting: what cannot be done at once raises BlockingIOError."""
    return getattr(one, "_sock", one)
