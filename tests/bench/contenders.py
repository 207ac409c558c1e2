"""Who is measured: the upstream without a proxy, nginx, hal0 as `hal0 serve` starts it, LiteLLM.

Only the one that is being measured runs; the others are stopped (SIGSTOP), for they share one CPU.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.bench import programs
from tests.bench.ground import Ground, answers, running, wait_until_up
from tests.bench.machine import PROXY_CPU, Meter, on_cpu, pss_mb, tree
from tests.bench.stub import EARS, MODEL
from tests.support.app import App, write_slots
from tests.support.engines import free_port
from tests.support.waiting import eventually

FILES = Path(__file__).parent
SLOT = "primary"
LITELLM_UP_S = 120.0
# A worker that was stopped for long is no dead one: gunicorn's own limit (30 s) would end it when it goes on.
PATIENT = {"GUNICORN_CMD_ARGS": "--timeout 3600"}
QUIET_SHARE = 0.06  # of a CPU: less is nobody's work of before
LOOK_S = 0.25


@dataclass
class Contender:
    """One way to the upstream. `pid` is the root of its processes, 0 for the upstream itself."""

    name: str
    port: int
    ground: Ground
    pid: int = 0
    model: str = "bench"
    ears: str = "bench"  # the model that an upload names
    ready: str = "/v1/models"
    settle_s: float = 4.0
    idle_mb: float = 0.0  # memory after the first few requests
    app: App | None = None

    @property
    def pids(self) -> list[int]:
        return tree(self.pid) if self.pid else []

    def memory_mb(self) -> float:
        """Memory of its processes now."""
        return pss_mb(self.pids)

    def meter(self) -> Meter:
        """Begin to count its CPU time."""
        return Meter(self.pids)

    def settle(self) -> None:
        """Let it finish what the last measure left behind, for at most `settle_s` seconds."""
        end = time.monotonic() + self.settle_s
        while self.pid and time.monotonic() < end:
            meter = self.meter()
            time.sleep(LOOK_S)
            if meter.read().share < QUIET_SHARE:
                return

    def stop(self) -> None:
        """Take it off the CPU."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Put it back, and wait until it answers and has nothing left to do."""
        self._signal(signal.SIGCONT)
        eventually(lambda: answers(self.port, self.ready), f"{self.name} answers again", within=15)
        self.settle()

    def _signal(self, number: int) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def direct(ground: Ground) -> Iterator[Contender]:
    """The upstream itself: what the load generator and the loopback cost."""
    yield Contender("direct", ground.upstream_port, ground)


@contextmanager
def nginx(ground: Ground) -> Iterator[Contender]:
    """nginx, one worker, buffering off."""
    port, log, config = free_port(), ground.folder / "nginx.log", ground.folder / "nginx.conf"
    values = {"folder": ground.folder, "upstream": ground.upstream_port, "port": port}
    config.write_text(Template((FILES / "nginx.conf").read_text()).substitute(values))
    with running([*on_cpu(PROXY_CPU), programs.nginx(), "-c", str(config)], log) as process:
        wait_until_up(process, port, "/v1/models", log)
        yield Contender("nginx", port, ground, process.pid)


@contextmanager
def litellm(ground: Ground) -> Iterator[Contender]:
    """LiteLLM's proxy, one worker. It drains what clients have given up for a long time, so it settles longer."""
    port, log, config = free_port(), ground.folder / "litellm.log", ground.folder / "litellm.yaml"
    config.write_text(Template((FILES / "litellm.yaml").read_text()).substitute(upstream=ground.upstream_port))
    command = [str(programs.litellm()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    settings = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    workers = ["--num_workers", "1", "--telemetry", "False"]
    with running([*on_cpu(PROXY_CPU), *command, *workers], log, {**os.environ, **settings}) as process:
        wait_until_up(process, port, "/health/liveliness", log, LITELLM_UP_S)
        yield Contender("litellm", port, ground, process.pid, ready="/health/liveliness", settle_s=25)


def hal0_app(ground: Ground, home: Path) -> App:
    """A hal0 over the stub, not yet started: slots that take all the load, on the contenders' CPU."""
    slot = {"type": "llm", "model": MODEL, "max_in_flight": 4096, "queue": 4096}
    write_slots(home, {SLOT: slot, "ears": {**slot, "type": "transcription", "model": EARS}})
    return App(home, free_port(), f"http://127.0.0.1:{ground.stub_port}", PATIENT, behind=on_cpu(PROXY_CPU))


@contextmanager
def hal0(ground: Ground) -> Iterator[Contender]:
    """The real app with its routing, admission and records."""
    home = ground.folder / "hal0"
    home.mkdir()
    app = hal0_app(ground, home)
    try:
        app.start()
        app.slot_is(SLOT, "ready")
        assert app.process is not None
        yield Contender("hal0", app.port, ground, app.process.pid, SLOT, EARS, "/readyz", app=app)
    finally:
        for pid in tree(app.process.pid) if app.process else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # a stopped process does not end when asked to
        app.stop()


CONTENDERS: dict[str, Callable[[Ground], AbstractContextManager[Contender]]] = {
    "direct": direct,
    "nginx": nginx,
    "hal0": hal0,
    "litellm": litellm,
}
USUAL = ("direct", "nginx", "hal0")
