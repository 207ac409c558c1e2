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


def load_settings(paths: Paths, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force: hal0.toml < conf.d in name order < environment. SchemaError says which file and key."""
    files = [paths.etc / "hal0.toml", *sorted((paths.etc / "conf.d").glob("*.toml"))]
    layers = [table for file in files if (table := _table(file)) is not None]
    for file, table in zip([file for file in files if file.exists()], layers, strict=True):
        _checked(file, table)
    return read_settings(*layers, from_environment(environment))


def _table(file: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise SchemaError(f"{file}: {problem}") from None


def _checked(file: Path, table: Mapping[str, Any]) -> None:
    try:
        read_settings(table)
    except SchemaError as problem:
        raise SchemaError(f"{file}: {problem}", problem.key) from None
