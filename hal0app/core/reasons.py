"""The catalogue of reasons: why a slot is not serving, and the exact words for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a slot is in its state; the value is what goes over the wire."""

    NONE = ""
    NEVER_LOADED = "never_loaded"
    NO_MODEL = "no_model"
    EVICTED = "evicted"
    DISPLACED = "displaced"
    NUCLEAR = "nuclear"
    CRASHED = "crashed"
    LEMOND_RESTARTED = "lemond_restarted"
    IDLE = "idle"
    OPERATOR = "operator"
    SWAPPED = "swapped"
    DISABLED = "disabled"
    NOT_DOWNLOADED = "not_downloaded"
    REFUSED = "refused"
    LOAD_FAILED = "load_failed"
    CRASH_LOOP = "crash_loop"
    INVALID_CONFIG = "invalid_config"


@dataclass(frozen=True)
class Row:
    """`message` is a format string; `lost` marks a model that left without hal0 or a person asking."""

    message: str
    lost: bool = False


CATALOGUE: dict[Reason, Row] = {
    Reason.NONE: Row(""),
    Reason.NEVER_LOADED: Row("not loaded yet (loads on the next request)"),
    Reason.NO_MODEL: Row("no model is set"),
    Reason.EVICTED: Row("model evicted from lemond (auto-reloads on next request)", lost=True),
    Reason.DISPLACED: Row("evicted to make room for {model} (auto-reloads on next request)", lost=True),
    Reason.NUCLEAR: Row("unloaded because loading {model} failed: {cause} (auto-reloads on next request)", lost=True),
    Reason.CRASHED: Row("backend crashed (reloads on next request)", lost=True),
    Reason.LEMOND_RESTARTED: Row("lemond restarted (reloads on next request)", lost=True),
    Reason.IDLE: Row("unloaded after {n} min idle (reloads on next request)"),
    Reason.OPERATOR: Row("unloaded by {who}"),
    Reason.SWAPPED: Row("unloaded by {who}, who swapped it for {model}"),
    Reason.DISABLED: Row("turned off; requests are refused"),
    Reason.NOT_DOWNLOADED: Row("{cause}"),
    Reason.REFUSED: Row("{model} cannot be loaded: {cause}"),
    Reason.LOAD_FAILED: Row("loading {model} failed: {cause}"),
    Reason.CRASH_LOOP: Row("{model} crashed {count} times in {minutes} min before it could answer. {log}"),
    Reason.INVALID_CONFIG: Row("the definition is not valid: {cause}"),
}


def message(reason: Reason, **facts: object) -> str:
    """The exact words for `reason`, filled with the facts its row names."""
    return CATALOGUE[reason].message.format(**facts)


_NEXT = re.compile(r" \((?:auto-)?re?loads on (?:the )?next request\)$")


def past(message: str) -> str:
    """A message as history tells it: without what will happen next."""
    return _NEXT.sub("", message)
