"""Sockets that systemd hands over, and its store, where those that a service leaves stay open over a restart."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping

from hal0app.adapters import systemd_notify

FIRST_FD = 3  # sd_listen_fds(3)
Address = tuple[str, int]
NOWHERE: Address = ("", 0)


def handed_over(name: str, environment: Mapping[str, str]) -> list[Address]:
    """Where the TCP sockets of `name` listen: a socket unit, or what this service left some under before a restart."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    found = []
    for number, one in enumerate(environment.get("LISTEN_FDNAMES", "").split(":")):
        if one == name:
            with socket.socket(fileno=os.dup(FIRST_FD + number)) as copy:
                found.append(address(copy))
    return [one for one in found if one != NOWHERE]


def leave(name: str, sockets: Iterable[socket.socket], environment: Mapping[str, str]) -> None:
    """Leave these listening sockets with systemd, in place of those that are there under `name`."""
    systemd_notify.send(f"FDSTOREREMOVE=1\nFDNAME={name}", environment)
    for one in sockets:
        systemd_notify.send(f"FDSTORE=1\nFDNAME={name}", environment, one.fileno())


def end(one: socket.socket) -> None:
    """Close a listening socket for everybody who has it, systemd included: the address is free again."""
    one.shutdown(socket.SHUT_RDWR)
    one.close()


def address(one: socket.socket) -> Address:
    """Where a socket listens: host and port. NOWHERE for one that is not TCP's, as a person may add to a unit."""
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return NOWHERE
    host, port, *_ = one.getsockname()
    return host, port
