"""One trial run from its first check to its orderly end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hal0app.adapters import tcp_ports
from hal0app.adapters.settings_file import load_settings
from hal0app.core.schema import SchemaError
from hal0app.core.settings import Settings
from hal0app.trial import engine, library, seed
from hal0app.trial.greeting import greeting
from hal0app.trial.home import Home
from hal0app.trial.process import first_to_end, running
from hal0app.trial.trouble import CannotRun

READY_DEADLINE_S = 120.0
PORT_TAKEN = """\
port {port} on {host} is in use, perhaps by another hal0. Stop that program, or choose another port:
    HAL0_PORT={other} make run"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What a person asked for: where to keep things, and a folder of GGUF files if they have one."""

    home: Home
    models: Path | None
    say: Say

    def run(self) -> None:
        """Run until a child ends by itself (CannotRun) or a stop signal comes (KeyboardInterrupt); leave nothing."""
        settings = self._settings()
        self._check(settings)
        self.home.create()
        with ExitStack() as stack:
            lemonade = self._lemonade(settings, stack)
            seed.seed(self.home.paths.slots, lemonade.models(), lemonade.device)
            self._serve(settings, lemonade, stack)

    def _settings(self) -> Settings:
        try:
            return load_settings(self.home.paths)
        except SchemaError as problem:
            raise CannotRun(str(problem)) from None

    def _check(self, settings: Settings) -> None:
        """What can be known before anything is fetched or started."""
        server = settings.server
        if not tcp_ports.is_free(server.host, server.port):
            raise CannotRun(PORT_TAKEN.format(port=server.port, host=server.host, other=server.port + 1))
        if self.models is not None:
            library.offered(self.models, lambda text: None)

    def _lemonade(self, settings: Settings, stack: ExitStack) -> engine.Lemonade:
        url = settings.lemonade.url.rstrip("/")
        running_one = engine.answering(url, lemonade_key(os.environ))
        if running_one is not None:
            self.say(f"Using the Lemonade that runs at {url}")
            if self.models is not None:
                self.say("MODELS is left alone: that Lemonade has its own models")
            return running_one
        library.stock(self.home, engine.known_models(self.models, self.say))
        self.say(f"Starting the embedded engine at {url}")
        return engine.start(self.home, url, self._environment(), stack)

    def _serve(self, settings: Settings, lemonade: engine.Lemonade, stack: ExitStack) -> None:
        self.say("Starting hal0")
        command = [sys.executable, "-m", "hal0app", "serve"]
        server = stack.enter_context(running("hal0", command, self._environment(), self.home.logs / "hal0.log"))
        children = [child for child in (lemonade.child, server) if child is not None]
        address = _address(settings)
        engine.wait_for(f"{address}/readyz", children, READY_DEADLINE_S)
        self.say(greeting(address, seed.listed(self.home.paths.slots), self.home))
        raise CannotRun(first_to_end(children).last_words())

    def _environment(self) -> dict[str, str]:
        return {"HAL0_SLOT_PORTS": "off", **os.environ, "HAL0_HOME": str(self.home.root), "PYTHONUNBUFFERED": "1"}


def _address(settings: Settings) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
    host = settings.server.host
    return f"http://{everywhere.get(host, f'[{host}]' if ':' in host else host)}:{settings.server.port}"


def lemonade_key(environment: Mapping[str, str]) -> str | None:
    """Lemonade's API key from HAL0_LEMONADE_KEY or the file that HAL0_LEMONADE_KEY_FILE names, if any."""
    file = environment.get("HAL0_LEMONADE_KEY_FILE")
    return environment.get("HAL0_LEMONADE_KEY") or (Path(file).read_text().strip() if file else None)
