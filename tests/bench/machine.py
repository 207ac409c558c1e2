"""What the machine does and is: CPU time and memory of process trees, which CPUs to use, and its description."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.support import processes
from tests.support.engines import REPOSITORY

CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU, LOAD_CPU = CPUS[0], CPUS[-1]  # the same on a machine with one
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def on_cpu(cpu: int) -> list[str]:
    """What a command is put behind to run on one CPU only."""
    return ["taskset", "--cpu-list", str(cpu)]


def allow_many_files() -> None:
    """Raise the limit of open files to what is allowed, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    return [pid, *processes.children(pid)]


def cpu_ns(pids: list[int]) -> int:
    """Nanoseconds these processes have run, as the scheduler counted them."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total


def pss_mb(pids: list[int]) -> float:
    """Memory in MB (2**20 bytes), shared pages divided among those who share them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


def _busy_s() -> float:
    """Seconds that all CPUs together have worked."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_S


@dataclass(frozen=True)
class Use:
    """CPU time of a process tree over a time, in seconds; `box_share`: of all CPUs by everybody, 1 is one CPU."""

    seconds: float
    cpu_s: float
    box_share: float

    @property
    def share(self) -> float:
        """Of one CPU."""
        return self.cpu_s / self.seconds


class Meter:
    """Counts from its creation on."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._begun, self._cpu, self._busy = time.monotonic(), cpu_ns(pids), _busy_s()

    def read(self) -> Use:
        """What was used since then."""
        seconds = time.monotonic() - self._begun
        return Use(seconds, (cpu_ns(self._pids) - self._cpu) / 1e9, (_busy_s() - self._busy) / seconds)


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def describe() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(CPUS)} CPUs ({_processor()}), {memory:.0f} GB, Linux {platform.release()}"


def load() -> str:
    """The load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def commit() -> str:
    """The commit of this checkout, with a plus when files differ from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=REPOSITORY, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def python_versions() -> str:
    """Python, with its place, for the distribution's is quicker than others; and the packages that carry a request."""
    packages = [f"{name} {metadata.version(name)}" for name in ("gunicorn", "gevent", "flask")]
    return ", ".join([f"Python {sys.version.split()[0]} ({Path(sys.executable).resolve()})", *packages])


@contextlib.contextmanager
def all_cpus() -> Iterator[None]:
    """What is started during the block may use every CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CPUS)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
