"""A network of a host's own: a namespace with user-mode NAT outwards, ports forwarded from 127.0.0.1 only."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from hal0app.trial.process import die_with_parent
from tests.support.waiting import eventually


class Network:
    """A network namespace `name`; `forward` and `close` are its life."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._socket = name, folder / "slirp.sock"
        self._socket.unlink(missing_ok=True)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        command = ["slirp4netns", "--netns-type=path", "--configure", "--mtu=1500", "--disable-host-loopback"]
        with (folder / "slirp.log").open("wb") as log:
            self._slirp = subprocess.Popen(
                [*command, "--api-socket", str(self._socket), self.path, "tap0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
            )
        eventually(self._socket.exists, "slirp4netns is up")

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def forward(self, guest_port: int) -> int:
        """Forward a free port of 127.0.0.1 to the host's `guest_port`; the free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        told = self._call("add_hostfwd", proto="tcp", host_addr="127.0.0.1", host_port=port, guest_port=guest_port)
        assert "error" not in told, told
        return port

    def _call(self, execute: str, **arguments: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode())
            connection.shutdown(socket.SHUT_WR)
            told: dict[str, Any] = json.loads(connection.recv(65536))
        return told

    def close(self) -> None:
        self._slirp.terminate()
        self._slirp.wait()
        _ip("netns", "del", self.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
