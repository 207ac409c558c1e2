"""Secrets from the environment or from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hal0app.adapters import paths


def lemonade_key(environment: Mapping[str, str]) -> str | None:
    """lemond's own key: HAL0_LEMONADE_KEY, else the content of HAL0_LEMONADE_KEY_FILE, else of etc/lemonade.key.

    None where there is none. OSError when a file that is there, or is named, cannot be read.
    """
    if key := environment.get("HAL0_LEMONADE_KEY", "").strip():
        return key
    if named := environment.get("HAL0_LEMONADE_KEY_FILE"):
        return Path(named).read_text(encoding="utf-8").strip()
    return _kept(environment, "lemonade.key")


def admin_key(environment: Mapping[str, str]) -> str | None:
    """The key that other machines need to change something: the content of etc/admin.key. None where there is none."""
    return _kept(environment, "admin.key") or None


def _kept(environment: Mapping[str, str], name: str) -> str | None:
    file = paths.from_environment(environment).etc / name
    return file.read_text(encoding="utf-8").strip() if file.exists() else None
