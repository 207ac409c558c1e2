"""`hal0.toml`, `conf.d/*.toml` and the environment, laid over each other."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal0app.adapters.files import write_atomically
from hal0app.adapters.paths import Paths
from hal0app.core.schema import SchemaError
from hal0app.core.settings import Layer, Settings, from_environment, read_settings

DASHBOARD = "50-dashboard.toml"


def settings_files(paths: Paths) -> list[Path]:
    """The files that are there, in the order in which they are laid over each other."""
    files = [paths.etc / "hal0.toml", *sorted((paths.etc / "conf.d").glob("*.toml"))]
    return [file for file in files if file.exists()]


def load_settings(paths: Paths, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force: hal0.toml < conf.d in name order < environment. SchemaError says which file and key."""
    layers = [read_file(file) for file in settings_files(paths)]
    return read_settings(*layers, from_environment(environment))


def read_file(file: Path) -> dict[str, Any]:
    """One file's table, checked by itself. SchemaError says which file and key."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise SchemaError(f"{file}: {problem}") from None
    try:
        read_settings(table)
    except SchemaError as problem:
        raise SchemaError(f"{file}: {problem}", problem.key) from None
    return table


class SettingsFiles:
    """The settings' files and the environment one by one; only the dashboard's own file is ever written."""

    def __init__(self, paths: Paths, environment: Mapping[str, str] = os.environ) -> None:
        self._paths, self._environment = paths, environment
        self._own = paths.etc / "conf.d" / DASHBOARD

    def layers(self) -> list[Layer]:
        """In the order in which they are laid over each other; the environment last, if it says anything."""
        files = settings_files(self._paths)
        found = [
            Layer(str(file.relative_to(self._paths.etc)), read_file(file), own=file == self._own) for file in files
        ]
        given = from_environment(self._environment)
        return [*found, Layer("environment", given, environment=True)] if given else found

    def own(self) -> dict[str, Any]:
        """What the dashboard saved before; SchemaError when that is broken."""
        return read_file(self._own) if self._own.exists() else {}

    def write(self, table: Mapping[str, Any]) -> None:
        """Make the dashboard's file say `table`; OSError leaves the old one."""
        import tomlkit

        head = "# Saved by hal0's dashboard and PATCH /api/settings. Files with a later name win over it.\n"
        write_atomically(self._own, head + tomlkit.dumps(dict(table)))
