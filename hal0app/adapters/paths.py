"""Where hal0 keeps its files: the system's folders, or all three below `HAL0_HOME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """`etc`: what people want. `var`: state and history. `run`: what ends with the process."""

    etc: Path
    var: Path
    run: Path

    @property
    def slots(self) -> Path:
        return self.etc / "slots"

    @property
    def database(self) -> Path:
        return self.var / "hal0.db"

    @property
    def lock(self) -> Path:
        return self.run / "worker.lock"


SYSTEM = Paths(Path("/etc/hal0"), Path("/var/lib/hal0"), Path("/run/hal0"))


def from_environment(environment: Mapping[str, str]) -> Paths:
    """The paths that `HAL0_HOME` gives; unset or empty means the system's."""
    home = environment.get("HAL0_HOME")
    if not home:
        return SYSTEM
    base = Path(home).absolute()
    return Paths(base / "etc", base / "var", base / "run")
