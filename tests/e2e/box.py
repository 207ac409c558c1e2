"""hal0 over the embedded engine with slots in many states, shared by the tests of the pages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests

from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine, embedded_engine, user_model
from tests.support.systemctl import Systemctl

ADMIN_KEY = "the-tests-admin-key"
ELSEWHERE = {"X-Forwarded-For": "10.0.0.9"}  # as a proxy on this machine tells of another one
SLOTS = {
    "primary": {"type": "llm", "model": "tiny-a", "default": True},
    "second": {"type": "llm", "model": "tiny-b"},
    "off": {"type": "llm", "model": "tiny-a", "enabled": False},
    "embed": {"type": "embedding", "model": "embed-a"},
    "bad": {"type": "llm", "model": "unloadable"},
    "ghost": {"type": "llm", "model": "nowhere"},
    "odd": "type = 'llm'\ncolour = 3",
}


class Box(NamedTuple):
    """hal0 and the Lemonade below it, which holds one chat model at a time; systemd is the tests' own."""

    app: App
    engine: Engine
    systemctl: Systemctl

    @property
    def url(self) -> str:
        return self.app.url

    def evict(self, model: str) -> None:
        """Unload it behind hal0's back."""
        requests.post(f"{self.engine.url}/v1/unload", json={"model_name": model}, timeout=60).raise_for_status()

    def at_rest(self) -> None:
        """Nothing loaded, nothing wrong."""
        self.engine.release()
        if self.app.slot("bad")["state"] == "error":
            self.app.post("/api/slots/bad/clear").raise_for_status()
            self.app.slot_is("bad", "offline")
        for name in ("primary", "second", "embed"):
            if self.app.slot(name)["state"] != "offline":
                self.app.post(f"/api/slots/{name}/unload?wait=true&force=true").raise_for_status()
                self.app.slot_is(name, "offline")


def _home(folder: Path) -> Path:
    """Where hal0 lives, with the key that other machines need."""
    (folder / "home" / "etc").mkdir(parents=True)
    (folder / "home" / "etc" / "admin.key").write_text(ADMIN_KEY)
    return folder / "home"


@contextmanager
def filled() -> Iterator[Box]:
    """A box with all of SLOTS."""
    files = {**{name: models.chat() for name in ("tiny-a", "tiny-b", "tiny-c")}, "unloadable": models.unloadable()}
    listed = {"embed-a": user_model(models.embed(), "embeddings")}
    with (
        tempfile.TemporaryDirectory(prefix="hal0-bin-") as folder,
        embedded_engine(max_loaded_models=1, models=files, user_models=listed, chaos=True, offline=False) as engine,
        hal0(engine.url, SLOTS, _home(Path(folder)), PATH=Systemctl(Path(folder)).path) as app,
    ):
        yield Box(app, engine, Systemctl(Path(folder)))
