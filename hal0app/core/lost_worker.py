"""A worker of hal0 that was killed: gunicorn starts the next one at once, and nobody would know."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app.core.journal import Entry

KIND = "system.worker"


@dataclass(frozen=True)
class LostWorker:
    """`starved` says that since its start the kernel killed something of the service for want of memory."""

    pid: int
    starved: bool


def told(lost: LostWorker, wall: float) -> Entry:
    """The journal's entry, written by the worker that comes after it."""
    cause = "the kernel killed it for want of memory" if lost.starved else "it was killed, or the machine went off"
    message = f"hal0's worker (process {lost.pid}) ended without notice: {cause}; answers under way were cut"
    return Entry(wall, KIND, message, "error", data={"pid": lost.pid, "out_of_memory": lost.starved})
