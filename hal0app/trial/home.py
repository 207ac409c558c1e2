"""Where a trial run keeps its things: HAL0_HOME with etc, var and run, and the cache outside every checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hal0app.adapters.paths import Paths


@dataclass(frozen=True)
class Home:
    """The folders of one trial run; nothing outside `root` and the cache is written."""

    root: Path

    @property
    def paths(self) -> Paths:
        """The same folders as hal0 itself sees them."""
        return Paths(self.root / "etc", self.root / "var", self.root / "run")

    @property
    def models(self) -> Path:
        """The extra models folder of the embedded engine."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        return self.root / "var" / "log"

    @property
    def engine_config(self) -> Path:
        return self.root / "var" / "engine" / "config"

    @property
    def engine_cache(self) -> Path:
        return self.root / "var" / "engine" / "cache"

    def create(self) -> None:
        """Make every folder except `etc/slots`, whose absence marks the first run."""
        folders = (self.paths.etc, self.paths.run, self.models, self.logs, self.engine_config, self.engine_cache)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)


def cache() -> Path:
    """HAL0_CACHE, else $XDG_CACHE_HOME/hal0, else ~/.cache/hal0; created on demand."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hal0"
    path = Path(os.environ.get("HAL0_CACHE") or fallback).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path
