"""`hal0.toml`, `conf.d/*.toml` and the environment, laid over each other."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal0app.adapters.paths import Paths
from hal0app.core.schema import SchemaError
from hal0app.core.settings import Settings, from_environment, read_settings


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
