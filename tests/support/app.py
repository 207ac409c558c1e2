"""Start hal0 as the unit does (`hal0 serve`: gunicorn, one gevent worker) over a Lemonade, with slots of the test's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests

from tests.support import processes
from tests.support.engines import REPOSITORY, free_port
from tests.support.waiting import eventually

START_DEADLINE_S = 60.0
SEEN_S = 90.0
T = TypeVar("T")


@dataclass
class App:
    """A hal0 of its own home and port."""

    home: Path
    port: int
    lemonade_url: str
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    command: tuple[str, ...] = ("-m", "hal0app", "serve")
    behind: list[str] = field(default_factory=list)  # a command that runs it, as `taskset --cpu-list 0`

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "log"

    def variables(self) -> dict[str, str]:
        """The environment of every process of this hal0."""
        own = {"HAL0_HOME": str(self.home), "HAL0_HOST": "127.0.0.1", "HAL0_PORT": str(self.port)}
        more = {"HAL0_LEMONADE_URL": self.lemonade_url, "HAL0_SLOT_PORTS": "off", "PYTHONPATH": str(REPOSITORY)}
        return {**os.environ, **own, **more, **self.environment}

    def start(self) -> None:
        """Start and wait until /healthz answers; AssertionError with the log's end if it never does."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.behind, sys.executable, *self.command],
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._healthy, "hal0 answers /healthz", within=START_DEADLINE_S)

    def _healthy(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"hal0 ended at its start:\n{self.log.read_text()[-3000:]}")
        return requests.get(f"{self.url}/healthz", timeout=2).ok

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it and wait until its worker is gone too."""
        if self.process is None:
            return
        family = processes.children(self.process.pid)
        self.process.send_signal(signal_number)
        try:
            self.process.wait(timeout=30)
        finally:
            self.process.kill()
            self.process.wait()
            processes.kill(*filter(processes.alive, family))
            self.process = None

    def drift(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `hal0 drift` once, as the timer does."""
        command = [sys.executable, "-m", "hal0app", "drift", *arguments]
        return subprocess.run(command, env=self.variables(), capture_output=True, text=True, timeout=60, check=False)

    # -- asking it

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=120, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=240, **more)

    def patch(self, slot: str, changes: dict[str, Any]) -> None:
        """Lay changes over a slot's definition."""
        requests.patch(f"{self.url}/api/slots/{slot}", json=changes, timeout=60).raise_for_status()

    def chat(self, model: str, text: str = "hello", max_tokens: int = 8, **more: Any) -> requests.Response:
        """One chat completion."""
        messages = [{"role": "user", "content": text}]
        return self.post(
            "/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": max_tokens, **more}
        )

    def slot(self, name: str) -> dict[str, Any]:
        """One slot as the API shows it."""
        found: dict[str, Any] = self.get(f"/api/slots/{name}").json()
        return found

    def slot_is(self, name: str, state: str, reason: str | None = None) -> dict[str, Any]:
        """Wait until the slot is in `state` (for `reason`), and return it."""

        def there() -> dict[str, Any]:
            slot = self.slot(name)
            seen = (slot["state"], slot["reason"] if reason is not None else None)
            assert seen == (state, reason), slot
            return slot

        return eventually(there, f"slot {name} is {state} {reason or ''}", within=SEEN_S)

    def link_is(self, link: str) -> None:
        """Wait until hal0's newest look at lemond found it `up`, `busy`, `silent` or `down`."""
        self.wait_for(lambda: self.get("/api/residency").json()["link"] == link, f"lemond is seen {link}")

    def wait_for(self, probe: Callable[[], T], what: str) -> T:
        """Wait until `probe` returns something true."""
        return eventually(probe, what, within=SEEN_S)

    def journal(self, **query: Any) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.get("/api/journal", params=query).json()
        return entries


def write_slots(home: Path, slots: Mapping[str, Mapping[str, Any] | str]) -> None:
    """Write slot files: a mapping becomes TOML, a string is written as it is."""
    folder = home / "etc" / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    for name, slot in slots.items():
        lines = [f"{key} = {_toml(value)}" for key, value in slot.items()] if not isinstance(slot, str) else [slot]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@contextmanager
def hal0(
    lemonade_url: str, slots: Mapping[str, Mapping[str, Any] | str], home: Path | None = None, **environment: str
) -> Iterator[App]:
    """A running hal0 in front of `lemonade_url`, gone at the end; `home` is a folder of its own unless given."""
    with tempfile.TemporaryDirectory(prefix="hal0-app-") as folder:
        app = App(home or Path(folder), free_port(), lemonade_url, environment)
        write_slots(app.home, slots)
        try:
            app.start()
            yield app
        finally:
            app.stop()
