"""The embedded engine put together: its parts, its start and its end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from hal0app.embedded.catalogue import Catalogue
from hal0app.embedded.config import Config
from hal0app.embedded.faults import Faults, TroubledStarts, troubled
from hal0app.embedded.http import Application, Server
from hal0app.embedded.log import Log
from hal0app.embedded.process import Spawner
from hal0app.embedded.relay import Relay
from hal0app.embedded.router import Router, Starts
from hal0app.embedded.stats import Stats

VERSION = "embedded-0.1.0"


class Engine:
    """Everything the views need. `close` ends every child. With `faults` it can be made to fail while it runs."""

    def __init__(
        self,
        config_dir: Path,
        cache_dir: Path,
        faults: Faults | None = None,
        simulate_flm: bool = False,
        **overrides: Any,
    ) -> None:
        """`overrides`: keys of config.json for this run only; None = as configured."""
        config_dir.mkdir(parents=True, exist_ok=True)
        cache_dir.mkdir(parents=True, exist_ok=True)
        self.cache_dir = cache_dir
        self.config = Config(config_dir / "config.json")
        self.config.override(**{key: value for key, value in overrides.items() if value is not None})
        self.catalogue = Catalogue(self.config["extra_models_dir"], config_dir / "user_models.json", simulate_flm)
        self.simulates_flm = simulate_flm
        self._spawner = Spawner(cache_dir / "logs")
        self.faults = faults
        starts: Starts = self._spawner if faults is None else TroubledStarts(self._spawner, faults)
        self.log = Log()
        self.router = Router(self.catalogue, self.config, starts, self.log)
        self.stats = Stats()
        self.relay = Relay(self.router, self.stats)

    def close(self) -> None:
        self.router.close()
        self._spawner.close()


def run(engine: Engine, chaos_port: int = 0) -> None:
    """Serve until SIGTERM or SIGINT, then end every child. OSError when a port is taken.

    An engine with faults is controlled on `chaos_port` of 127.0.0.1.
    """
    from hal0app.embedded import chaos
    from hal0app.embedded.views import application

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    served = application(engine)
    servers = []
    if engine.faults is not None:
        servers.append(_serve(("127.0.0.1", chaos_port), chaos.application(engine, engine.faults), "chaos"))
        served = troubled(served, engine.faults)
    server = _serve((engine.config["host"], int(engine.config["port"])), served, "accept")
    servers.append(server)
    host, port = server.server_address[:2]
    print(f"hal0 embedded engine ({VERSION}, for trials and tests) on http://{host!s}:{port}", flush=True)
    try:
        stop.wait()
    finally:
        for one in servers:
            one.server_close()
        engine.close()


def _serve(address: tuple[str, int], application: Application, name: str) -> Server:
    server = Server(address, application)
    threading.Thread(target=server.serve_forever, name=name, daemon=True).start()
    return server
