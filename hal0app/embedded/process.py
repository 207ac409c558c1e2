"""A backend: the child process that serves one model, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hal0app.embedded.errors import StartError

COMMAND = [sys.executable, "-m", "hal0app.embedded.child"]
PACKAGE_ROOT = Path(__file__).resolve().parents[2]
STOP_GRACE_S = 5.0

Cancelled = Callable[[], bool]


class Backend:
    """A started child. Use `Spawner.start`; `url` is its address without `/v1`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, command: list[str]) -> None:
        self._process = process
        self.url = url
        self.command = command

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process and wait for it; a stopped or stuck one is killed."""
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _read_url(pipe: int, process: subprocess.Popen[bytes], deadline: float, cancelled: Cancelled) -> str:
    """What the child writes once it has loaded; empty when it ended, was cancelled or took too long."""
    while time.monotonic() < deadline and not cancelled():
        if select.select([pipe], [], [], 0.1)[0]:
            return os.read(pipe, 1024).decode()
        if process.poll() is not None:
            break
    return ""


class Spawner:
    """Starts children from one thread that lives as long as the engine.

    Linux sends PR_SET_PDEATHSIG when the *thread* that forked ends, so a request's thread must not fork them.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        logs.mkdir(parents=True, exist_ok=True)

    def _fork(self, name: str, command: list[str], ready: int) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "HAL0_PARENT": str(os.getpid()),
            "HAL0_READY_FD": str(ready),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")])),
        }
        with (self._logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(ready,), process_group=0,
            )  # fmt: skip

    def start(self, name: str, arguments: list[str], timeout_s: float, cancelled: Cancelled) -> Backend:
        """A backend that has its model loaded. StartError when the child ends, or is not ready in `timeout_s`."""
        pipe, ready = os.pipe()
        command = [*COMMAND, *arguments]
        try:
            try:
                process = self._thread.submit(self._fork, name, command, ready).result()
            finally:
                os.close(ready)
            url = _read_url(pipe, process, time.monotonic() + timeout_s, cancelled)
        finally:
            os.close(pipe)
        if not url:
            process.kill()
            process.wait()
            raise StartError("llama-server failed to start")
        return Backend(process, url, command)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._thread.shutdown(wait=False)
