"""What a client has sent of a body that nobody reads, and how its connection ends without taking the answer away.

gunicorn's worker loads this before it patches anything, so that nothing else of hal0 is imported here.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import ChunkedReader, LengthReader

KEPT_BYTES = 64 << 10  # a rest as small as this is read and thrown away, and the connection stays
LINGER_S = 2.0
LINGER_BYTES = 1 << 20
OPEN = frozenset({1, 8})  # ESTABLISHED and CLOSE_WAIT, the first byte of struct tcp_info: we have not ended it
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that is no clean end


def left(body: Any) -> float:
    """How many bytes of the body, gunicorn's, have not been read yet; infinite when nobody can tell."""
    reader = getattr(body, "reader", None)
    if reader is None:
        return 0.0
    if isinstance(reader, LengthReader):
        return float(reader.length)
    return math.inf if isinstance(reader, ChunkedReader) and reader.parser is not None else 0.0


def ends_connection(body: Any) -> bool:
    """Whether the body is broken, or so much of it is left that the connection is better closed than read on."""
    return getattr(body, "failed", False) or left(body) > KEPT_BYTES


def let_it_read(peer: socket.socket) -> None:
    """End the connection so that a client that still sends can read the answer: a close with bytes unread would take
    it away. What has been ended, or is to be reset, stays as it is."""
    deadline, wanted = time.monotonic() + LINGER_S, LINGER_BYTES
    with suppress(OSError):
        if peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in OPEN or _resets(peer):
            return
        peer.shutdown(socket.SHUT_WR)
        while wanted > 0 and (wait_s := deadline - time.monotonic()) > 0:
            peer.settimeout(wait_s)
            read = len(peer.recv(65536))
            if not read:
                break
            wanted -= read
            time.sleep(0)


def reset(peer: socket.socket) -> None:
    """Let the close of the connection be no clean end, and what was not sent be forgotten."""
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _resets(peer: socket.socket) -> bool:
    return peer.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(RESET)) == RESET
