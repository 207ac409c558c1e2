"""What the test processes of one run of the lane share: a folder, and in it what the first of them has made."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.support import cache

RUN = "HAL0_HOSTS_RUN"  # the process id of what has started them all; without it a process is alone
Made = TypeVar("Made")


@contextmanager
def joined() -> Iterator[Path]:
    """The folder, in the cache; it goes when the last process leaves it."""
    folder = cache.folder("hosts") / f"run-{os.environ.get(RUN) or os.getpid()}"
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield folder
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder)


def once(folder: Path, name: str, make: Callable[[], Made]) -> Made:
    """What `make` gives, or what it has given to another process that shares the folder."""
    file = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(make()))
        made: Made = pickle.loads(file.read_bytes())
    return made
