"""Giving up root."""

from __future__ import annotations

import os
from pathlib import Path


def become_owner_of(path: Path) -> None:
    """When started as root, become the user and group that own `path` (or its nearest folder that exists)."""
    if os.geteuid() != 0:
        return
    while not path.exists():
        path = path.parent
    owner = path.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
