"""lemond's own settings as a form: what a person reads beside each key, and what comes back from the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hal0app.core.lemond_config import KEYS, NEVER, Key, at
from hal0app.services.lemond_config import Kept, Reading
from hal0app.web import setting_input
from hal0app.web.setting_input import Input, text

PREFIX = "lemond."  # of the inputs' names
# Key -> label and hint.
WORDS = {
    "max_loaded_models": ("Models loaded at a time", "Of each type; -1 is without a limit."),
    "ctx_size": ("Context, tokens", "Where neither a slot nor the model says it; -1 leaves it to Lemonade."),
    "llamacpp.args": ("Arguments of llama.cpp", "For every model, besides a slot's own."),
    "global_timeout": ("Patience with a backend, seconds", "How long Lemonade waits for one to be ready."),
    "log_level": ("Log level", ""),
    "offline": ("Offline", "Nothing is downloaded."),
    "auto_evict": ("Lemonade evicts by itself", "hal0 chooses who leaves; leave it off unless you know why."),
    "models_dir": ("Folder of downloaded models", "Change it where Lemonade is installed."),
    "extra_models_dir": ("Folder of your own files", "Change it where Lemonade is installed."),
}


def inputs(reading: Reading, want: Mapping[str, Any]) -> tuple[Input, ...]:
    """Every key that this lemond has, with its source and what a change of it does."""
    return tuple(_input(key, reading, want) for key in KEYS if at(reading.values, key.name) is not None)


def _input(key: Key, reading: Reading, want: Mapping[str, Any]) -> Input:
    value = at(reading.values, key.name)
    label, hint = WORDS[key.name]
    takes = f"A change counts {key.takes}." if key.takes else ""
    words = " ".join(filter(None, (hint, takes)))
    kind = "told" if key.takes is NEVER else "pick" if key.options else setting_input.kind(value)
    return Input(
        f"{PREFIX}{key.name}", label, words, kind, text(value), _source(key, reading, want), options=key.options
    )


def _source(key: Key, reading: Reading, want: Mapping[str, Any]) -> str:
    value = at(reading.values, key.name)
    wanted = at(want, key.name)
    if wanted is not None:
        return "as hal0 wants it" if wanted == value else f"hal0 wants {text(wanted)}"
    if reading.defaults and at(reading.defaults, key.name) == value:
        return "default of Lemonade"
    return "set in Lemonade"


def changed(reading: Reading, form: Mapping[str, str]) -> dict[str, Any]:
    """What the form changes, by dotted key."""
    known = {f"{PREFIX}{key.name}": at(reading.values, key.name) for key in KEYS}
    found = setting_input.changed(inputs(reading, {}), known, form)
    return {key.removeprefix(PREFIX): value for key, value in found.items()}


def told(kept: list[Kept]) -> str:
    """What lemond did not take as it was sent; empty: all of it."""
    return " ".join(
        f"Lemonade kept {text(one.has) or 'off'} of {one.key}, not {text(one.wanted) or 'off'}." for one in kept
    )
