"""Secrets from the environment or from credential files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def lemonade_key(environment: Mapping[str, str]) -> str | None:
    """lemond's own key: HAL0_LEMONADE_KEY, or the content of the file that HAL0_LEMONADE_KEY_FILE names."""
    if key := environment.get("HAL0_LEMONADE_KEY", "").strip():
        return key
    file = environment.get("HAL0_LEMONADE_KEY_FILE")
    return Path(file).read_text(encoding="utf-8").strip() if file else None
