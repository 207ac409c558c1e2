"""The programs the bench needs: its two in C, built into the cache; nginx of the host; LiteLLM in an environment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import cache

SOURCES = Path(__file__).parent / "c"
PARTS = {"upstream": ("upstream", "http", "timers"), "load": ("load", "http", "samples", "tokens")}
COMPILE = ("gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion",
           "-Werror")  # fmt: skip
LITELLM = "litellm[proxy]==1.106.2"


class Missing(Exception):
    """Something that this host does not have; the text says how to get it."""


def folder() -> Path:
    """Where the bench keeps what it builds."""
    return cache.folder("bench")


def program(name: str) -> Path:
    """The path of `upstream` or `load`, compiled anew when a source has changed. Raises Missing without gcc."""
    recipe = hashlib.sha256(" ".join(COMPILE).encode())
    for source in sorted(SOURCES.iterdir()):
        recipe.update(source.read_bytes())
    path = folder() / f"{name}-{recipe.hexdigest()[:12]}"
    if not path.exists():
        if shutil.which("gcc") is None:
            raise Missing("gcc is missing: sudo apt install gcc libc6-dev")
        unfinished = path.with_suffix(".part")
        sources = [str(SOURCES / f"{part}.c") for part in PARTS[name]]
        subprocess.run([*COMPILE, "-o", str(unfinished), *sources], check=True)
        unfinished.rename(path)
    return path


def nginx() -> str:
    """The path of nginx. Raises Missing."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise Missing("nginx is missing: sudo tests/bench/install-nginx.sh")
    return found


def litellm() -> Path:
    """The path of LiteLLM's command, in an environment of its own that is made once. Needs a package index."""
    place = folder() / f"litellm-{hashlib.sha256(f'{LITELLM} {sys.version}'.encode()).hexdigest()[:12]}"
    ready = place / "ready"
    if not ready.exists():
        print(f"installing {LITELLM} into {place}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, LITELLM], check=True)
        ready.touch()
    return place / "bin" / "litellm"


def version(*command: str) -> str:
    """The first line that a program says about its version."""
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (told.stdout + told.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"
