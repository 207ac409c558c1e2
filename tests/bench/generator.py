"""Runs the C load generator and reads its line of JSON."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from tests.bench import programs
from tests.bench.contenders import Contender
from tests.bench.machine import LOAD_CPU, on_cpu

GIVE_UP_S = 40.0


class Failed(Exception):
    """A measure that gave no figures; the text says why."""


def load(mode: str, to: Contender, steady: Callable[[], None] = lambda: None, **options: float | str) -> dict[str, Any]:
    """Run `load MODE` against a contender; `steady` is called when all its streams are open. Raises Failed."""
    command = [*on_cpu(LOAD_CPU), str(programs.program("load")), mode, "--port", str(to.port), "--model", to.model]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watch = threading.Timer(GIVE_UP_S, process.kill)
        watch.start()
        try:
            told = _read(process, steady)
        finally:
            watch.cancel()
            process.kill()
    if told is None:
        raise Failed(f"the load generator ended without a report (after at most {GIVE_UP_S:g} s)")
    return told


def _read(process: subprocess.Popen[str], steady: Callable[[], None]) -> dict[str, Any] | None:
    assert process.stdout is not None
    told: dict[str, Any] | None = None
    for line in process.stdout:
        if line.startswith("STEADY"):
            steady()
        elif line.startswith("{"):
            told = json.loads(line)
    return told


def lost(told: dict[str, Any]) -> int:
    """Tokens out of their order, answers that were not whole, connections that failed."""
    return int(told["out_of_order"] + told["broken"] + told["errors"])
