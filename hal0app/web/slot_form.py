"""The form of a slot: its fields, what a browser sends of them, and what that changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device, SlotType
from hal0app.web.cards import TYPE_WORDS


@dataclass(frozen=True)
class Field:
    """One input. `kind`: text | area | number | select | check; `rare` ones stand behind a fold."""

    key: str
    label: str
    kind: str
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    rare: bool = False


FIELDS: tuple[Field, ...] = (
    Field("type", "Serves", "select", choices=tuple((one.value, TYPE_WORDS[one].capitalize()) for one in SlotType)),
    Field("model", "Model", "text", "A Lemonade model id. Empty: the slot waits for one."),
    Field(
        "device",
        "Device",
        "select",
        choices=(("", "What Lemonade chooses"), *((one.value, one.value) for one in Device)),
    ),
    Field("ctx_size", "Context, tokens", "number", "Empty: what Lemonade chooses."),
    Field("enabled", "On", "check", "Off: requests are refused."),
    Field("default", "Default", "check", "Serves requests of its type that name no model. One slot per type."),
    Field("pinned", "Pinned", "check", "Not evicted to make room for another model."),
    Field("idle_unload_s", "Unload when idle for, seconds", "number", "0: never."),
    Field(
        "on_evict",
        "After an eviction",
        "select",
        choices=(("lazy", "Load on the next request"), ("restore", "Load again as soon as it is safe")),
        rare=True,
    ),
    Field("priority", "Priority", "number", "Order of coming back after a restart, higher first.", rare=True),
    Field("max_in_flight", "Requests at once", "number", "Parallel sequences the model is loaded with.", rare=True),
    Field("queue", "Requests that may wait", "number", "More are refused with 429.", rare=True),
    Field("wait_s", "Longest wait, seconds", "number", "How long a request may wait for the model.", rare=True),
    Field("llamacpp_args", "Further llama.cpp options", "text", rare=True),
    Field(
        "path",
        "Way to the model",
        "select",
        choices=(("direct", "To its own server"), ("lemond", "Through Lemonade's port")),
        rare=True,
    ),
    Field("port", "Port of its own", "number", "0: the lowest free one.", rare=True),
    Field("labels", "Labels", "text", "Besides those of the model, separated by commas.", rare=True),
    Field("system_prompt", "System prompt", "area", "For requests that other slots hand to this one.", rare=True),
)
DEFAULTS: dict[str, Any] = {
    one.name: one.default for one in msgspec.structs.fields(SlotConfig) if one.default is not msgspec.NODEFAULT
}


class NotThat(ValueError):
    """The text of a field is not of its kind; the text says what it must be."""


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise NotThat("Write a number.")


def _labels(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


READ: dict[str, Callable[[str], Any]] = {"number": _number}


def read(form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values a form gives (None: nothing was written), and by key what is wrong with one."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in FIELDS:
        text = form.get(field.key, "").strip()
        try:
            values[field.key] = _value(field, text)
        except NotThat as problem:
            problems[field.key] = str(problem)
    return values, problems


def _value(field: Field, text: str) -> Any:
    if field.kind == "check":
        return text == "on"
    if field.key == "labels":
        return _labels(text)
    return READ.get(field.kind, str)(text) if text else None


def definition(values: Mapping[str, Any]) -> dict[str, Any]:
    """A new slot's definition: only what is not as it is anyway."""
    return {key: value for key, value in values.items() if value is not None and value != _plain(DEFAULTS.get(key))}


def changes(values: Mapping[str, Any], current: SlotConfig) -> dict[str, Any]:
    """What must be laid over the current definition; None takes a key out."""
    wanted = {key: _plain(DEFAULTS.get(key)) if value is None else value for key, value in values.items()}
    different = {key: value for key, value in wanted.items() if value != _plain(getattr(current, key))}
    return {key: None if value == _plain(DEFAULTS.get(key)) else value for key, value in different.items()}


def _plain(value: Any) -> Any:
    """As a file has it: lists, texts."""
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, SlotType | Device) else value


def texts(config: SlotConfig | None) -> dict[str, str]:
    """What the inputs show for a slot; its defaults for a new one."""
    values = {key: getattr(config, key) for key in _keys()} if config else DEFAULTS
    return {key: _text(_plain(values.get(key))) for key in _keys()}


def _keys() -> list[str]:
    return [field.key for field in FIELDS]


def _text(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "on"
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
