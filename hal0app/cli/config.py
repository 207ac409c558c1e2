"""`hal0 config`: what the files say, and whether they make sense. Reads them itself, so it works while hal0 is down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from hal0app.adapters import paths
from hal0app.adapters.settings_file import load_settings, read_file, settings_files
from hal0app.adapters.slot_files import SlotFiles
from hal0app.cli.exits import REFUSED
from hal0app.cli.printing import json_option, print_json
from hal0app.core.schema import SchemaError
from hal0app.core.settings import Settings
from hal0app.core.slot import Broken
from hal0app.core.slot_config import NAME, NAME_RULE, SlotConfig


@click.group()
def config() -> None:
    """The settings and slots, as the files have them."""


@config.command()
@json_option
def check(as_json: bool) -> None:
    """Read every file and tell every problem with its file and key. Exit status 1 when there is one."""
    where = paths.from_environment(os.environ)
    found = list(problems(where))
    if as_json:
        print_json({"folder": str(where.etc), "problems": found})
    else:
        for line in found or [f"{where.etc}: everything makes sense"]:
            click.echo(line)
    sys.exit(REFUSED if found else 0)


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Print the settings in force, defaults and environment included, and the slots."""
    import tomlkit

    where = paths.from_environment(os.environ)
    try:
        settings = load_settings(where)
    except SchemaError as problem:
        raise click.ClickException(f"{problem}. See hal0 config check") from None
    try:
        slots = _slots(where)
    except OSError as problem:
        raise click.ClickException(f"{where.slots}: {problem.strerror}. See hal0 config check") from None
    valid = [slot for slot in slots if isinstance(slot, SlotConfig)]
    told = {**_plain(settings), "slots": {slot.name: _plain(slot) for slot in valid}}
    print_json(told) if as_json else click.echo(tomlkit.dumps(told), nl=False)


def _plain(struct: Settings | SlotConfig) -> dict[str, Any]:
    """As TOML can say it: without what is not set."""
    told: dict[str, Any] = msgspec.to_builtins(struct)
    return {key: value for key, value in told.items() if value is not None and key != "name"}


def problems(where: paths.Paths) -> Iterator[str]:
    """Everything that is wrong, one line each."""
    sound = True
    for file in settings_files(where):
        try:
            read_file(file)
        except SchemaError as problem:
            sound = False
            yield str(problem)
    if sound:
        try:
            load_settings(where)
        except SchemaError as problem:
            yield str(problem)
    yield from _of_slots(where)


def _slots(where: paths.Paths) -> list[SlotConfig | Broken]:
    """The slots; none where hal0 was never started. Raises OSError when the folder is gone or cannot be listed."""
    try:
        return SlotFiles(where.slots).all()
    except FileNotFoundError:
        if where.database.exists():
            raise
        return []


def _of_slots(where: paths.Paths) -> Iterator[str]:
    for file in sorted(where.slots.glob("*.toml")):
        if not NAME.fullmatch(file.stem):
            yield f"{file}: '{file.stem}' is not a slot name, so the file is not read: {NAME_RULE}"
    try:
        slots = _slots(where)
    except OSError as problem:
        yield f"{where.slots}: {problem.strerror}; no slot can be read"
        return
    for slot in slots:
        if isinstance(slot, Broken):
            yield f"{where.slots / slot.name}.toml: {slot.problem}"
    yield from _disagreements(where, [slot for slot in slots if isinstance(slot, SlotConfig)])


def _disagreements(where: paths.Paths, slots: list[SlotConfig]) -> Iterator[str]:
    """What two files say against each other."""
    for index, slot in enumerate(slots):
        for other in slots[:index]:
            file = f"{where.slots / slot.name}.toml"
            if slot.default and other.default and slot.type is other.type:
                yield f"{file}: 'default': {other.name} is the default of type {slot.type} already"
            if slot.port and slot.port == other.port:
                yield f"{file}: 'port': {other.name} has the port {slot.port}, too"
            if slot.model and slot.model == other.model and slot.load_options != other.load_options:
                yield f"{file}: 'model': {other.name} has {slot.model} with other load options; make them equal"
