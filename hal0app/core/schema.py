"""Strict reading of configuration: a msgspec struct from a mapping, with errors that name the key and the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `(?P<path>[^`]*)`)?")
_AT = re.compile(r"(?P<what>.*?)(?: - at (?:`?key`? in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")


class SchemaError(ValueError):
    """A mapping breaks its schema; the text says which key and what would be right, `key` is its dotted path."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


def read(kind: type[T], data: Mapping[str, Any]) -> T:
    """Make a `kind` from `data`, refusing unknown keys, wrong types and values out of range (SchemaError)."""
    try:
        return msgspec.convert(dict(data), kind, strict=True)
    except msgspec.ValidationError as problem:
        raise _explained(kind, str(problem)) from None


def _explained(kind: type[msgspec.Struct], problem: str) -> SchemaError:
    if unknown := _UNKNOWN.match(problem):
        key = _dotted(unknown["path"], unknown["key"])
        return SchemaError(f"unknown key '{key}'{_hint(kind, unknown['key'], key)}", key)
    if missing := _MISSING.match(problem):
        return SchemaError(f"the key '{missing['key']}' is required", missing["key"])
    match = _AT.match(problem)
    what, path = (match["what"], _dotted(match["path"])) if match else (problem, "")
    return SchemaError(f"'{path}': {_plain(what)}" if path else _plain(what), path or None)


def _dotted(path: str | None, key: str = "") -> str:
    told = (path or "$").removeprefix("$").replace("[...]", "")  # msgspec's word for some entry of a table
    steps = [step for step in told.split(".") if step]
    return ".".join([*steps, key] if key else steps)


def _plain(what: str) -> str:
    return what[:1].lower() + what[1:].replace("`", "")


def _hint(kind: type[msgspec.Struct], key: str, dotted: str) -> str:
    import difflib  # here, for only a mistake needs it

    known = _fields_at(kind, dotted.split(".")[:-1])
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"


def _fields_at(kind: Any, path: list[str]) -> list[str]:
    for step in path:
        found = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}.get(step)
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            return []
        kind = found
    return [field.encode_name for field in msgspec.structs.fields(kind)]
