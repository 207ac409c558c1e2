"""Reading and ending processes by id, through /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.support.waiting import eventually


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children(pid: int) -> list[int]:
    """Ids of all descendants of a process, children first."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, listing.read_text().split()):
                found += [child, *children(child)]
    return found


def marked(name: str, value: str) -> list[int]:
    """Ids of the processes that were started with this environment variable, orphans among them."""
    entry, found = f"{name}={value}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if entry in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory (VmRSS) of a process in bytes."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def stop(pid: int) -> None:
    """SIGSTOP, in effect when this returns: a thread may go on for a while until another one has taken the signal."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: all(_state(stat) == "T" for stat in Path(f"/proc/{pid}/task").glob("*/stat")), "it has stopped")


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"  # a thread that has ended does nothing any more


def kill(*pids: int) -> None:
    """kill -9 each; one that is gone already is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
