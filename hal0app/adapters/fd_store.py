"""Sockets that systemd hands over, and its store, where those that a service leaves stay open over a restart."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping

from hal0app.adapters import systemd_notify

FIRST_FD = 3  # sd_listen_fds(3)
Address = tuple[str, int]


def handed_over(name: str, environment: Mapping[str, str]) -> set[Address]:
    """The addresses of the sockets of `name`: a socket unit, or what this service left some under before a restart."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return set()
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = set()
    for fd in (FIRST_FD + number for number, one in enumerate(names) if one == name):
        with socket.socket(fileno=os.dup(fd)) as copy:
            found.add(address(copy))
    return found


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
    """Where a socket listens: host and port."""
    host, port, *_ = one.getsockname()
    return host, port
