"""Connections by number without asking for a name, which under gevent would be a trip to a thread.

It imports little, for `hal0 drift` must start fast.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

Address = tuple[str, int]

LOOK_S = 0.5


def connected(address: Address, timeout_s: float | None, wanted: Callable[[], bool] | None = None) -> socket.socket:
    """A new connection, made within `timeout_s`, which is its timeout from then on. Raises OSError.

    To a number it is given up as if that had passed once it is not `wanted` any more, which is looked at now and then.
    """
    family = family_of(address[0])
    if family is None:
        return socket.create_connection(address, timeout_s)
    made = socket.socket(family)
    try:
        made.settimeout(timeout_s if wanted is None or timeout_s is None else min(timeout_s, LOOK_S))
        try:
            made.connect(address)  # here, for a stream keeps the memory of the deepest call there was on its way
        except TimeoutError:
            if wanted is None or timeout_s is None:
                raise
            _wait(made, timeout_s - LOOK_S, wanted)
        made.settimeout(timeout_s)
    except BaseException:
        made.close()
        raise
    return made


def _wait(made: socket.socket, left_s: float, wanted: Callable[[], bool]) -> None:
    poll = select.poll()
    poll.register(made, select.POLLOUT)
    while left_s > 0 and wanted():
        if poll.poll(1000 * min(left_s, LOOK_S)):
            problem = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise OSError(problem, os.strerror(problem))
            return
        left_s -= LOOK_S
    raise TimeoutError("timed out")


def family_of(host: str) -> socket.AddressFamily | None:
    """The family of an address; None when it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return None
