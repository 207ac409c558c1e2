"""Where tests keep what is costly to get: outside the checkout, shared by every checkout of this user."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The cache folder: HAL0_CACHE, else $XDG_CACHE_HOME/hal0, else ~/.cache/hal0. Created on demand."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hal0"
    path = Path(os.environ.get("HAL0_CACHE") or fallback).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def folder(name: str) -> Path:
    """A subfolder of the cache, created on demand."""
    path = root() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def shared() -> Path:
    """The folder that a chroot sees at the same absolute path: models and the folders of running engines."""
    return folder("test")
