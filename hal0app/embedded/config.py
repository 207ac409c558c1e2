"""The engine's configuration: lemond's config.json, the part of it that hal0 reads and writes.

Keys and messages as lemond's runtime_config.cpp (contract section 8). The file holds only what differs from the
defaults, as Debian's 2026.39.1 writes it.
"""

from __future__ import annotations

import json
import os
import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

from hal0app.embedded.errors import plain

Settings = dict[str, Any]

DEFAULTS: Settings = {
    "auto_check_model_updates": True,
    "auto_evict": False,
    "auto_evict_threshold_pct": 0.9,
    "broadcast": False,
    "cloud_providers": [],
    "config_version": 2,
    "ctx_size": -1,
    "default_model_source": "huggingface",
    "disable_model_filtering": False,
    "enable_dgpu_gtt": False,
    "extra_models_dir": "",
    "global_timeout": 600,
    "host": "127.0.0.1",
    "inhibit_suspend": False,
    "llamacpp": {"args": "", "backend": "auto", "device": "", "prefer_system": True},
    "log_level": "info",
    "max_loaded_models": 1,
    "models_dir": "auto",
    "no_fetch_executables": False,
    "offline": True,
    "port": 13305,
    "websocket_port": "auto",
}
FIXED = ("cloud_providers", "config_version")
BACKENDS = ("auto", "system")
TYPE_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", dict: "an object"}


def _type_error(key: str, default: Any, value: Any) -> str | None:
    if key == "websocket_port" or isinstance(default, list):
        return None
    accepted: type | tuple[type, ...] = (int, float) if isinstance(default, float) else type(default)
    if isinstance(value, accepted) and not (isinstance(value, bool) and not isinstance(default, bool)):
        return None
    return f"'{key}' must be {TYPE_NAMES[type(default)]}"


def _value_error(key: str, value: Any) -> str | None:
    if key == "max_loaded_models" and (value == 0 or value < -1):
        return "'max_loaded_models' must be -1 (unlimited) or a positive integer"
    if key == "llamacpp.backend" and value not in BACKENDS:
        return f"'llamacpp.backend' must be one of: {', '.join(BACKENDS)}"
    return None


def _check(changes: Settings, known: Settings, prefix: str = "") -> None:
    for key, value in changes.items():
        path = prefix + key
        if key not in known or path in FIXED:
            raise plain(400, f"Unknown config key: '{path}'")
        problem = _type_error(path, known[key], value) or _value_error(path, value)
        if problem:
            raise plain(400, problem)
        if isinstance(value, dict):
            _check(value, known[key], f"{path}.")


def _merge(into: Settings, changes: Settings) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _nested(changes: Settings) -> Settings:
    """`{"llamacpp_args": x}` as lemond's flat spelling of `{"llamacpp": {"args": x}}`."""
    nested: Settings = {}
    for key, value in changes.items():
        section, _, rest = key.partition("_")
        flat = key not in DEFAULTS and isinstance(DEFAULTS.get(section), dict)
        _merge(nested, {section: {rest: value}} if flat else {key: value})
    return nested


def _difference(values: Settings, defaults: Settings) -> Settings:
    changed: Settings = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            value = _difference(value, defaults[key])
            if not value:
                continue
        elif key in defaults and value == defaults[key] and key != "config_version":
            continue
        changed[key] = value
    return changed


class Config:
    """config.json in memory. Keys that this engine does not know stay in the file and are shown, never used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._values = deepcopy(DEFAULTS)
        if path.exists():
            _merge(self._values, json.loads(path.read_text()))

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    @property
    def max_loaded_models(self) -> int:
        """Residents per type; -1 = unlimited."""
        return int(self._values["max_loaded_models"])

    def snapshot(self) -> Settings:
        with self._lock:
            return deepcopy(self._values)

    def override(self, **values: Any) -> None:
        """Values of the command line: for this run, not written to the file."""
        with self._lock:
            _merge(self._values, values)

    def set(self, changes: Settings) -> Settings:
        """Check all changes, apply all, write the file; returns them nested. EngineError 400 changes nothing."""
        nested = _nested(changes)
        _check(nested, DEFAULTS)
        with self._lock:
            _merge(self._values, nested)
            scratch = self._path.with_suffix(".json.new")
            scratch.write_text(json.dumps(_difference(self._values, DEFAULTS), indent=2, sort_keys=True) + "\n")
            os.replace(scratch, self._path)
        return nested
