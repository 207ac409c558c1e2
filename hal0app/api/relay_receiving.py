"""Receiving what cannot be there yet, as an answer to what was just asked: it is waited for first, and then read.

gevent's own `recv` tries first, and to wait with a limit makes an exception for the case that it passes.
"""

from __future__ import annotations

import socket

from gevent import get_hub, getcurrent


def receive(connection: socket.socket, size: int) -> bytes:
    """As `connection.recv`, with the limit of its timeout: TimeoutError."""
    readable, limit_s = getattr(connection, "_read_event", None), connection.gettimeout()
    if readable is None or limit_s == 0:
        return connection.recv(size)
    hub = get_hub()
    timer = None
    if limit_s is not None:
        timer = hub.loop.timer(limit_s)
        timer.start(getcurrent().throw, TimeoutError, f"nothing came for {limit_s:g} s")
    try:
        hub.wait(readable)
    finally:
        if timer is not None:
            timer.stop()
            timer.close()
    return connection.recv(size)
