"""Connections by number without asking for a name, which under gevent would be a trip to a thread.

It imports little, for `hal0 drift` must start fast.
"""

from __future__ import annotations

import socket

Address = tuple[str, int]


def connected(address: Address, timeout_s: float | None) -> socket.socket:
    """A new connection, made within `timeout_s`, which is its timeout from then on. Raises OSError."""
    family = family_of(address[0])
    if family is None:
        return socket.create_connection(address, timeout_s)
    made = socket.socket(family)
    try:
        made.settimeout(timeout_s)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def family_of(host: str) -> socket.AddressFamily | None:
    """The family of an address; None when it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family
    return None
