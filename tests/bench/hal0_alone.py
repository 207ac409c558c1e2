"""Measures of hal0 itself: its start, `hal0 drift`, and open dashboards on which nothing happens."""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.contenders import Contender, hal0_app
from tests.bench.generator import Failed
from tests.bench.ground import answers
from tests.bench.measure import Figures, Measure, When
from tests.bench.warm import WARM, warm
from tests.support.waiting import eventually

STARTS, DRIFTS = 3, 20
CLEAN = (0, 3)  # what `hal0 drift` ends with when it has done its work
DASHBOARDS = 40
IDLE_S, DASHBOARDS_S = 5.0, 20.0


def _start_s(to: Contender) -> float:
    with tempfile.TemporaryDirectory(prefix="hal0-bench-start-") as home:
        app = hal0_app(to.ground, Path(home))
        begun = time.monotonic()
        try:
            app.start()
            eventually(lambda: answers(app.port, "/readyz"), "hal0 is ready", every=0.005)
            return time.monotonic() - begun
        finally:
            app.stop()


def start(to: Contender) -> Figures:
    """Seconds from `hal0 serve` to a good /readyz, with an empty home; the median of a few."""
    to.stop()
    try:
        return {"ready_s": statistics.median(_start_s(to) for _ in range(STARTS))}
    finally:
        to.go_on()


def _drift_s(environment: dict[str, str]) -> float:
    """Seconds of CPU time of one run."""
    command = [sys.executable, "-m", "hal0app", "drift"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in CLEAN:
        raise Failed(f"hal0 drift ended with {process.returncode}: {told.decode(errors='replace')[-300:]}")
    return usage.ru_utime + usage.ru_stime


def drift(to: Contender) -> Figures:
    """CPU time of one `hal0 drift` beside the running hal0; the median of twenty."""
    assert to.app is not None
    environment = to.app.variables()
    _drift_s(environment)  # writes what a first run has to write, and warms the file cache
    return {"cpu_ms": statistics.median(_drift_s(environment) for _ in range(DRIFTS)) * 1000}


@contextmanager
def _reading(clients: list[socket.socket]) -> Iterator[list[int]]:
    """Read what the clients get, on a thread; yields the bytes of each so far."""
    got, ended = [0] * len(clients), threading.Event()

    def read() -> None:
        with selectors.DefaultSelector() as selector:
            for place, client in enumerate(clients):
                selector.register(client, selectors.EVENT_READ, place)
            while not ended.is_set():
                for key, _ in selector.select(0.2):
                    got[key.data] += len(clients[key.data].recv(65536))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield got
    finally:
        ended.set()
        thread.join()


def _share(to: Contender, seconds: float) -> float:
    meter = to.meter()
    time.sleep(seconds)
    return meter.read().share * 100


def dashboards(to: Contender) -> Figures:
    """Per cent of a CPU that hal0 uses: alone, and with forty open pages on which nothing happens."""
    alone = _share(to, IDLE_S)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", to.port), timeout=10)) for _ in range(DASHBOARDS)
        ]
        for client in clients:
            client.sendall(f"GET /events?view=slots HTTP/1.1\r\nHost: 127.0.0.1:{to.port}\r\n\r\n".encode())
        got = stack.enter_context(_reading(clients))
        eventually(lambda: all(got), "every dashboard has its page", within=10)
        opened = list(got)
        share = _share(to, DASHBOARDS_S)
        if any(now == then for now, then in zip(got, opened, strict=True)):
            raise Failed("a dashboard got no heartbeat")
    return {"share_percent": share, "alone_percent": alone}


MEASURES = (
    Measure("start", "start", start, ("ready_s",), when=When.LAST, alone=True),
    Measure("drift", "drift", drift, ("cpu_ms",), when=When.LAST, alone=True),
    Measure("dashboards", "dashboards", dashboards, ("share_percent", "alone_percent"), when=When.LAST, alone=True),
    Measure("warm", "warm", warm, WARM, when=When.LAST, alone=True),
)
