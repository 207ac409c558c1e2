"""adapters/fd_store: what is left with systemd, what of it is there after a restart, and how it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from hal0app.adapters import fd_store

AFTER_A_RESTART = """
import os, sys
from hal0app.adapters import fd_store
os.environ["LISTEN_PID"] = str(os.getpid())
print(sorted(fd_store.handed_over("slot", os.environ)))
"""


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_systemd_gets_the_sockets_in_place_of_those_it_had(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, listening() as one, listening() as other:
        systemd.bind(address)
        fd_store.leave("slot", [one, other], {"NOTIFY_SOCKET": address})
        assert systemd.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=slot"
        for sent in (one, other):
            state, [fd], *_ = socket.recv_fds(systemd, 100, 2)
            with socket.socket(fileno=fd) as got:
                assert (state, got.getsockname()) == (b"FDSTORE=1\nFDNAME=slot", sent.getsockname())


def test_what_was_left_is_told_after_a_restart_and_a_units_own_socket_is_not_of_it() -> None:
    with listening() as own, listening() as left:
        fds = f"exec {fd_store.FIRST_FD}<&{own.fileno()} {fd_store.FIRST_FD + 1}<&{left.fileno()}"
        done = subprocess.run(
            ["bash", "-c", f"{fds}; exec {sys.executable} -c '{AFTER_A_RESTART}'"],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "hal0.socket:slot"},
            pass_fds=[own.fileno(), left.fileno()],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout.strip() == str([fd_store.address(left)])


def test_sockets_of_another_process_are_none() -> None:
    assert fd_store.handed_over("slot", {"LISTEN_PID": "1", "LISTEN_FDNAMES": "slot"}) == []
    assert fd_store.handed_over("slot", {}) == []


def test_a_socket_that_is_not_tcps_listens_nowhere(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        assert fd_store.address(one) == fd_store.NOWHERE


def test_the_address_of_a_socket_that_ends_is_free_though_systemd_has_a_copy() -> None:
    with listening() as one, socket.socket(fileno=os.dup(one.fileno())):
        where = fd_store.address(one)
        fd_store.end(one)
        with socket.create_server(("0.0.0.0", where[1])):
            pass
