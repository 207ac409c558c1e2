"""One setting in a form: how its value is shown, and what comes back from the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """One setting in a form. `kind`: text | number | list | check | pick (of `options`) | told (not changed here)."""

    key: str
    label: str
    hint: str
    kind: str
    text: str
    source: str
    fixed: bool = False
    pending: str = ""  # what the running process still has
    options: tuple[str, ...] = ()
    by_service: bool = False  # a pending change waits for the service, not only for hal0's worker

    @property
    def id(self) -> str:
        """The id of its element."""
        return self.key.replace(".", "-")


def kind(value: Any) -> str:
    """The kind of input that a value like this one takes."""
    if isinstance(value, bool):
        return "check"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "told" if isinstance(value, dict) else "text"


def text(value: Any) -> str:
    """A value as its input shows it."""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {one}" for key, one in value.items())
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def written(inputs: Iterable[Input], form: Mapping[str, str]) -> dict[str, str]:
    """What stands in a form that was sent, by key; a box that is not ticked is not sent."""
    return {one.key: form.get(one.key, "") for one in inputs if one.kind != "told" and not one.fixed}


def changed(inputs: Iterable[Input], known: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """What a form makes of the values that are `known`, by key: only what differs and may be changed here."""
    fields = {one.key: one for one in inputs}
    found = {key: read(fields[key], text.strip()) for key, text in written(fields.values(), form).items()}
    return {key: value for key, value in found.items() if value != known[key]}


def read(field: Input, written: str) -> Any:
    """The value; a number that is none stays text, and the schema says what is wrong with it."""
    if field.kind == "check":
        return written == "on"
    if field.kind == "list":
        return [word.strip() for word in written.split(",") if word.strip()]
    if field.kind == "number":
        for number in (int, float):
            try:
                return number(written)
            except ValueError:
                continue
    return written
