"""The Lemonade of a trial run: one that is running already, or the embedded engine as a child of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hal0app.adapters import tcp_ports
from hal0app.core.slot_type import Device
from hal0app.trial import ask, library, model
from hal0app.trial.home import Home, cache
from hal0app.trial.process import Child, running
from hal0app.trial.trouble import CannotRun

LOOPBACK = ("127.0.0.1", "localhost", "::1")
START_DEADLINE_S = 60.0
POLL_S = 0.1
TAKEN = """\
{url} is in use by a program that is not Lemonade. Stop that program, or choose another port:
    HAL0_LEMONADE_URL=http://127.0.0.1:{other} make run"""
NOT_HERE = """\
no Lemonade answers at {url}.
Start it there, or leave HAL0_LEMONADE_URL out to use the small engine that comes with hal0"""


@dataclass(frozen=True)
class Lemonade:
    """A Lemonade that answers. `child` is None and `device` open when it is not ours."""

    url: str
    key: str | None
    child: Child | None = None

    @property
    def device(self) -> Device | None:
        """Where the seeded slots run: the embedded engine has only the CPU."""
        return None if self.child is None else Device.CPU

    def models(self) -> list[dict[str, Any]]:
        """The entries of GET /v1/models. CannotRun when the list cannot be had."""
        body = ask.get_json(f"{self.url}/v1/models", key=self.key)
        if not isinstance(body, dict):
            raise CannotRun(
                f"{self.url}/v1/models gives no list of models. Does Lemonade want a key? HAL0_LEMONADE_KEY"
            )
        return list(body.get("data", ()))


def answering(url: str, key: str | None) -> Lemonade | None:
    """The Lemonade at `url` if one answers; None if the embedded engine can take the place. CannotRun otherwise."""
    parts = urlsplit(url)
    answer = ask.get(f"{url}/live", key=key)
    if answer is not None and answer[0] == 200:
        return Lemonade(url, key)
    if parts.hostname not in LOOPBACK:
        raise CannotRun(NOT_HERE.format(url=url))
    port = parts.port or 80
    if not tcp_ports.is_free(parts.hostname or "", port):
        raise CannotRun(TAKEN.format(url=url, other=port + 1))
    return None


def known_models(models: Path | None, say: Callable[[str], None]) -> dict[Path, str]:
    """The files for the embedded engine: those of `models`, and the small model unless a chat model is among them."""
    found = {} if models is None else library.offered(models, say)
    if library.CHAT not in found.values():
        found[model.fetched(cache(), say)] = library.CHAT
    return found


def start(home: Home, url: str, environment: Mapping[str, str], stack: ExitStack) -> Lemonade:
    """Start the embedded engine at `url` and wait until it answers; `stack` stops it. CannotRun with its last words."""
    parts = urlsplit(url)
    command = [
        *(sys.executable, "-m", "hal0app", "embedded"),
        *("--host", parts.hostname or "127.0.0.1", "--port", str(parts.port or 80)),
        *("--config-dir", str(home.engine_config), "--cache-dir", str(home.engine_cache)),
        *("--models-dir", str(home.models)),
    ]
    child = stack.enter_context(running("the embedded engine", command, environment, home.logs / "engine.log"))
    wait_for(f"{url}/live", [child], START_DEADLINE_S)
    return Lemonade(url, None, child)


def wait_for(url: str, children: list[Child], deadline_s: float) -> None:
    """Wait until GET `url` answers 200. CannotRun when a child ends first or after about `deadline_s` seconds."""
    last: tuple[int, bytes] | None = None
    for _ in range(int(deadline_s / POLL_S)):
        last = ask.get(url)
        if last is not None and last[0] == 200:
            return
        for child in children:
            if child.ends_within(POLL_S / len(children)):
                raise CannotRun(child.last_words())
    said = "nothing" if last is None else f"{last[0]} {last[1][:500].decode(errors='replace')}"
    raise CannotRun(f"{url} is not ready after {deadline_s:.0f} s; it says: {said}\nLogs: {children[-1].log.parent}")
