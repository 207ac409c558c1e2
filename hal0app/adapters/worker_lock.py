"""One worker per home: in-flight counts, queues and the control worker live in one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class WorkerLock:
    """An exclusive lock on `path`, held until the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock; RuntimeError names who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise RuntimeError(f"hal0 runs already with this home: {self._path} is held by {holder}") from None
        os.ftruncate(handle, 0)
        os.write(handle, f"pid {os.getpid()}\n".encode())
        self._handle = handle
