"""A `systemctl` for tests: a real program, first on PATH, that says what it is told to and keeps what it was asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """#!/bin/sh
echo "$*" >> "{folder}/asked"
case "$*" in
*" show "*) cat "{folder}/units" ;;
*" restart "*) [ ! -s "{folder}/refusal" ] || {{ cat "{folder}/refusal" >&2; exit 1; }} ;;
esac
"""


@dataclass
class Systemctl:
    """`unit` sets what `show` says; `refuse` makes `restart` fail with a text."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        program = self.folder / "systemctl"
        program.write_text(PROGRAM.format(folder=self.folder))
        program.chmod(0o755)
        self.unit("active")

    @property
    def path(self) -> str:
        """The PATH with it in front."""
        return f"{self.folder}:{os.environ['PATH']}"

    def unit(self, state: str, load: str = "loaded") -> None:
        absent = "Id=lemonade-server.service\nLoadState=not-found\nActiveState=inactive\n"
        facts = f"Id=lemond.service\nLoadState={load}\nActiveState={state}\n"
        (self.folder / "units").write_text(f"{absent}\n{facts}")

    def refuse(self, text: str) -> None:
        (self.folder / "refusal").write_text(text)

    @property
    def asked(self) -> list[str]:
        """The command lines it was called with, options left out."""
        file = self.folder / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        return [" ".join(word for word in line.split() if not word.startswith("--")) for line in lines]

    @property
    def restarts(self) -> list[str]:
        return [line for line in self.asked if line.startswith("restart ")]
