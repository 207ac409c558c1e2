"""Strict reading of configuration: a msgspec struct from a mapping, with errors that name the key and the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`(?: - at `(?P<path>[^`]*)`)?")
_AT = re.compile(r"(?P<what>.*?)(?: - at (?:`?key`? in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?P<key>[a-z_]+): ")  # a rule of the struct's own that begins with its key
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
    what = _plain(what) + _choices(kind, path.split("."), what)
    if not path and (own := _NAMED.match(what)) and own["key"] in _fields_at(kind, []):
        return SchemaError(what, own["key"])
    return SchemaError(f"'{path}': {what}" if path else what, path or None)


def _dotted(path: str | None, key: str = "") -> str:
    told = (path or "$").removeprefix("$").replace("[...]", "")  # msgspec's word for some entry of a table
    steps = [step for step in told.split(".") if step]
    return ".".join([*steps, key] if key else steps)


def _plain(what: str) -> str:
    return what[:1].lower() + what[1:].replace("`", "")


def _choices(kind: Any, path: list[str], what: str) -> str:
    """What may stand at `path`, where msgspec says only that this is none of it."""
    if not what.startswith("Invalid enum value"):
        return ""
    there = _struct_at(kind, path[:-1])
    fields = msgspec.structs.fields(there) if there else ()
    type_ = next((field.type for field in fields if field.encode_name == path[-1]), None)
    words = [str(word) for one in (type_, *get_args(type_)) for word in _words(one)]
    return f"; one of: {', '.join(words)}" if words else ""


def _words(type_: Any) -> list[Any]:
    if get_origin(type_) is Literal:
        return list(get_args(type_))
    return [*type_] if isinstance(type_, type) and issubclass(type_, Enum) else []


def _hint(kind: type[msgspec.Struct], key: str, dotted: str) -> str:
    import difflib  # here, for only a mistake needs it

    known = _fields_at(kind, dotted.split(".")[:-1])
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"


def _fields_at(kind: Any, path: list[str]) -> list[str]:
    there = _struct_at(kind, path)
    return [field.encode_name for field in msgspec.structs.fields(there)] if there else []


def _struct_at(kind: Any, path: list[str]) -> Any:
    """The struct that a path leads to; None when it leads to something else."""
    for step in path:
        found = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}.get(step)
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            return None
        kind = found
    return kind
