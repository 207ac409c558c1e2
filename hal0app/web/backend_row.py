"""A backend as a row: what it is, its state in words, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.core.backends import NAMES
from hal0app.services.stock import Shelves


@dataclass(frozen=True)
class BackendRow:
    """One backend: what it is, its state in words, and whether hal0 can have it installed."""

    key: str
    name: str
    state: str
    version: str = ""
    install: str = ""  # the button's label
    page: str = ""  # where a person reads what to do


STATES = {
    "installed": ("Installed", ""),
    "installable": ("Available", "Install"),
    "update_available": ("Installed; there is an update", "Update"),
    "update_required": ("Must be updated before use", "Update"),
}


def backend_rows(shelves: Shelves) -> tuple[BackendRow, ...]:
    """Every backend, those that can be used or had first."""
    rows = [_backend(one) for one in shelves.backends]
    return tuple(sorted(rows, key=lambda row: (row.state.startswith("Not"), row.key)))


def _backend(one: Mapping[str, Any]) -> BackendRow:
    name = f"{NAMES.get(one['recipe'], one['recipe'])} ({one['backend']})"
    page = one.get("action") or ""
    if page and one.get("state") != "installed":
        what = f": {one['message']}" if one.get("message") else ""
        return BackendRow(
            one["id"], name, f"Needs a step on the host{what}", page=page if page.startswith("http") else ""
        )
    if one.get("state") not in STATES:
        reason = one.get("message") or "Lemonade does not say why"
        return BackendRow(one["id"], name, f"Not available on this machine: {reason}")
    words, label = STATES[one["state"]]
    return BackendRow(one["id"], name, words, one.get("version") or "", label)
