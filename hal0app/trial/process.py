"""Child processes that never outlive this one, each with its output in a log file of this run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_GRACE_S = 10.0
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1

_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends SIGTERM to the child when this process ends, even by SIGKILL."""
    parent = os.getpid()

    def ask_the_kernel() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


class Child:
    """A running program in its own session, so that Ctrl-C reaches only us and we stop things in order."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ends_within(self, seconds: float) -> bool:
        """Wait at most `seconds` for the program to end; whether it did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        return self._process.returncode is not None

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM, then SIGKILL for whatever of its session is left after `grace_s` seconds or after its end."""
        self._process.terminate()
        self.ends_within(grace_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """How it ended, and the last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        quoted = "\n".join(f"    {line}" for line in lines)
        return f"{self.name} ended with status {self._process.returncode}. The end of {self.log}:\n{quoted}"


@contextmanager
def running(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Child]:
    """A `Child` for the length of a `with` block."""
    child = Child(name, command, environment, log)
    try:
        yield child
    finally:
        child.stop()


def first_to_end(children: Iterable[Child]) -> Child:
    """Block until one of `children` ends, and return it."""
    by_descriptor = {os.pidfd_open(child.pid): child for child in children}
    poll = select.poll()
    try:
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        return by_descriptor[poll.poll()[0][0]]
    finally:
        for descriptor in by_descriptor:
            os.close(descriptor)


def stop_on_signals() -> None:
    """Turn the first stop signal into KeyboardInterrupt, and let nothing interrupt the stopping that follows."""
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
