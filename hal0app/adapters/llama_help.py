"""Asks an installed llama-server which options it knows."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from pathlib import Path

from hal0app.core.arguments import read_help

NAME = "llama-server"
INSTALLED = Path("/usr/bin") / NAME  # Debian's, lemond's backend "system"
EMBEDDED = [sys.executable, "-m", "hal0app.embedded.child"]
TIMEOUT_S = 10.0

Stamp = tuple[str, int, int]


class LlamaHelp:
    """Runs `--help` once per program and again when its file changes. Thread-safe.

    lemond's word decides what is run, so it must be a program named llama-server, or the embedded engine's own.
    """

    def __init__(self, installed: Path = INSTALLED) -> None:
        self.installed = str(installed)
        self._asking = threading.Lock()
        self._known: dict[Stamp, frozenset[str] | None] = {}

    def options(self, program: str) -> frozenset[str] | None:
        """The options of `program` (as in a shell); None when it cannot be asked."""
        command = shlex.split(program)
        if command != EMBEDDED and (len(command) != 1 or Path(command[0]).name != NAME):
            return None
        try:
            stat = Path(command[0]).stat()
        except OSError:
            return None
        stamp = (program, stat.st_size, stat.st_mtime_ns)
        with self._asking:
            if stamp not in self._known:
                self._known[stamp] = _ask(command)
            return self._known[stamp]


def _ask(command: list[str]) -> frozenset[str] | None:
    try:
        told = subprocess.run(
            [*command, "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return read_help(told.stdout.decode(errors="replace"))
