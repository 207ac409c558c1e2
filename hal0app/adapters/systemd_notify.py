"""systemd's notification socket (sd_notify): one datagram to the address in NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

BEATS = 3  # notifications within the time that the watchdog allows


def send(state: str, environment: Mapping[str, str], *fds: int) -> None:
    """Tell systemd `state`, such as WATCHDOG=1; nothing outside a unit, and no error when nobody listens.

    `fds` go with it, as copies.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
        one.connect("\0" + address[1:] if address.startswith("@") else address)
        socket.send_fds(one, [state.encode()], fds)


def watchdog_period_s(environment: Mapping[str, str]) -> float | None:
    """Seconds between two notifications that keep the unit's watchdog quiet; None where there is none."""
    allowed = environment.get("WATCHDOG_USEC", "")
    return int(allowed) / 1_000_000 / BEATS if allowed.isdigit() and int(allowed) else None
