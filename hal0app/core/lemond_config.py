"""The part of lemond's configuration that hal0 shows and may change (lemonade-contract.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AT_ONCE, AT_LOAD, NEVER = "at once", "with each model's next load", ""


@dataclass(frozen=True)
class Key:
    """One key, dotted. `takes`: when a change of it has effect; NEVER: it is shown and not changed by hal0."""

    name: str
    takes: str
    options: tuple[str, ...] = ()


LOG_LEVELS = ("trace", "debug", "info", "warning", "error", "fatal", "none")
KEYS = (
    Key("max_loaded_models", AT_LOAD),
    Key("ctx_size", AT_LOAD),
    Key("llamacpp.args", AT_LOAD),
    Key("global_timeout", AT_ONCE),
    Key("log_level", AT_ONCE, LOG_LEVELS),
    Key("offline", AT_ONCE),
    Key("auto_evict", AT_ONCE),
    Key("models_dir", NEVER),
    Key("extra_models_dir", NEVER),
)
BY_NAME = {key.name: key for key in KEYS}


def at(table: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted key; None where there is none."""
    value: Any = table
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as the nested mapping that `/internal/set` takes."""
    whole: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        table = whole
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    return whole
