"""What every contender stands on: the C upstream and the control-plane stub, both on the load generator's CPU."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import programs
from tests.bench.machine import LOAD_CPU, on_cpu, tree
from tests.support import processes
from tests.support.engines import DIES_WITH_TESTS, REPOSITORY, free_port
from tests.support.waiting import eventually

LOG_TAIL = 1500


@dataclass(frozen=True)
class Ground:
    """Ports of the upstream and the stub, and a folder for files of this run."""

    upstream_port: int
    stub_port: int
    folder: Path

    def seen(self) -> dict[str, int]:
        """What the upstream counts: `active`, `gone`, `last_gone_ns`, `bytes`."""
        told: dict[str, int] = get_json(self.upstream_port, "/stats")
        return told

    def quiet(self, within_s: float = 5.0) -> None:
        """Wait until the upstream answers nobody any more; after a while go on all the same."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.seen()["active"] == 0, within=within_s)


def get_json(port: int, path: str, timeout_s: float = 5.0) -> Any:
    """The JSON at a path of this host. OSError when it cannot be had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
        return json.load(answer)


def answers(port: int, path: str) -> bool:
    """Whether something good is answered there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
        return bool(answer.status == 200)


@contextmanager
def running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs during the block and dies with the bench."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*DIES_WITH_TESTS, *command],
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        family = tree(process.pid)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # a stopped process does not end when asked to
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
        processes.kill(*filter(processes.alive, family))


def wait_until_up(process: subprocess.Popen[bytes], port: int, path: str, log: Path, within_s: float = 20.0) -> None:
    """Wait until a program answers. RuntimeError with its log's end when it ends instead."""

    def up() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{log.name} ended at its start: {log.read_text(errors='replace')[-LOG_TAIL:]}")
        return answers(port, path)

    eventually(up, f"{log.name} answers {path}", within=within_s)


@contextmanager
def ground() -> Iterator[Ground]:
    """The upstream and the stub, running."""
    upstream_port, stub_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="hal0-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        log = folder / "upstream.log"
        command = [*on_cpu(LOAD_CPU), str(programs.program("upstream")), str(upstream_port)]
        upstream = stack.enter_context(running(command, log))
        wait_until_up(upstream, upstream_port, "/stats", log)
        log = folder / "stub.log"
        ports = [str(stub_port), str(upstream_port), str(upstream.pid)]
        stub = stack.enter_context(running([*on_cpu(LOAD_CPU), sys.executable, "-m", "tests.bench.stub", *ports], log))
        wait_until_up(stub, stub_port, "/live", log)
        yield Ground(upstream_port, stub_port, folder)
