"""The TCP connections of a process, through /proc."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"


@dataclass(frozen=True)
class Connection:
    """One open connection by the ports of its ends; `state` is the kernel's number, in hex."""

    here: int
    there: int
    state: str


def connections(pid: int) -> list[Connection]:
    """What the process holds open, listeners left out (IPv4)."""
    held = set()
    with contextlib.suppress(FileNotFoundError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                held.add(os.readlink(file))
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return [
        Connection(_port(row[1]), _port(row[2]), row[3])
        for row in rows
        if f"socket:[{row[9]}]" in held and row[3] != LISTENING
    ]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
