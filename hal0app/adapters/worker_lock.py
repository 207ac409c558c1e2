"""One worker per home: in-flight counts, queues and the control worker live in one process."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path

from hal0app.core.lost_worker import LostWorker

AT_WORK = re.compile(r"pid (\d+) at work, (\d+) killed before for want of memory")


class WorkerLock:
    """An exclusive lock on `path`, held until the process ends.

    Its text tells who has it. Who ends in good order empties it, so a text that stays is of one that was killed.
    `starved` counts the processes of this service that the kernel killed for want of memory.
    """

    def __init__(self, path: Path, starved: Callable[[], int] = lambda: 0) -> None:
        self._path, self._starved = path, starved
        self._handle: int | None = None

    def take(self) -> LostWorker | None:
        """Take the lock; the holder before, where it was killed. RuntimeError names who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        text = os.read(handle, 128).decode(errors="replace").strip()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            holder = text.partition(" at work")[0] or "another process"
            raise RuntimeError(f"hal0 runs already with this home: {self._path} is held by {holder}") from None
        starved = self._starved()
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} at work, {starved} killed before for want of memory\n".encode(), 0)
        self._handle = handle
        left = AT_WORK.match(text)
        return LostWorker(int(left[1]), starved > int(left[2])) if left else None

    def give_back(self) -> None:
        """Say that this process ends in good order; the lock itself goes with the process."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
