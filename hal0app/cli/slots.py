"""`hal0 slots`: list, define, change, delete, and have a model loaded or unloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from hal0app.cli.client import LOAD_S, Client, Refused, Unreachable, segment
from hal0app.cli.printing import json_option, or_list, print_facts, print_json, print_table

COLUMNS = {"SLOT": "name", "TYPE": "type", "STATE": "state", "MODEL": "model", "MESSAGE": "message"}

# Keys of a definition that are texts; what is written for another key is read as JSON where it can be.
TEXTS = {"type", "device", "model", "llamacpp_args", "on_evict", "path", "system_prompt"}
LISTS = {"labels"}  # written as JSON, or as words with commas
TIMES = {"since", "stale_since", "last_used_at"}

# Act -> what it does; these are operations, and waited for.
OPERATIONS = {
    "load": "Load the slot's model now.",
    "unload": "Unload the slot's model; requests under way end first, and the next one loads it again.",
    "restart": "Unload the slot's model and load it again.",
}
CHANGES = {
    "pin": "Never evict the slot's model to make room.",
    "unpin": "Let the slot's model be evicted to make room.",
    "clear": "Forget the slot's failures, so that the next request tries again.",
}


def path(name: str, act: str = "") -> str:
    """The address of a slot, or of an act on it."""
    return f"/api/slots/{segment(name)}" + (f"/{act}" if act else "")


def print_slots(found: list[dict[str, Any]]) -> None:
    """The slots as a table."""
    print_table(COLUMNS, found, "there are no slots yet. Make one: hal0 slots create NAME type=llm model=MODEL")


def known_slots(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of slots for the shell's completion; none when hal0 does not answer."""
    try:
        names = [slot["name"] for slot in Client(timeout_s=1.0).get("/api/slots")]
    except (Refused, Unreachable):
        return []
    return [name for name in names if name.startswith(incomplete)]


slot_argument: Callable[[Any], Any] = click.argument("name", shell_complete=known_slots)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def slots(ctx: click.Context, as_json: bool) -> None:
    """The slots; without a further word: list them."""
    or_list(ctx, list_, as_json)


@slots.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List every slot with its state and why."""
    found = Client().get("/api/slots")
    print_json(found) if as_json else print_slots(found)


@slots.command()
@slot_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show all that is known about one slot."""
    found = Client().get(path(name))
    print_json(found) if as_json else print_facts(found, TIMES)


def read_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """The definition in `KEY=VALUE` words; UsageError for a word without a sign."""
    return dict(_pair(word) for word in pairs)


def _pair(word: str) -> tuple[str, Any]:
    key, sign, value = word.partition("=")
    if not sign or not key:
        raise click.UsageError(f"'{word}' is not KEY=VALUE, like model=Qwen3-0.6B-GGUF or pinned=true")
    if key in TEXTS and value != "null":
        return key, value
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value.split(",") if key in LISTS else value


@slots.command()
@click.argument("name")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@json_option
def create(name: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Make a slot: hal0 slots create fast type=llm model=Qwen3-0.6B-GGUF ctx_size=8192"""
    _print_one(Client().post("/api/slots", {**read_pairs(pairs), "name": name}), as_json)


@slots.command()
@slot_argument
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@json_option
def edit(name: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Change keys of a slot; KEY=null takes one out."""
    _print_one(Client().patch(path(name), read_pairs(pairs)), as_json)


@slots.command()
@slot_argument
def delete(name: str) -> None:
    """Delete a slot; its model stays where it is."""
    Client().delete(path(name))
    click.echo(f"slot {name} is deleted")


@slots.command()
@slot_argument
@click.argument("model")
@click.option("--no-wait", is_flag=True, help="Print the operation's id instead of waiting for its end.")
@json_option
def swap(name: str, model: str, no_wait: bool, as_json: bool) -> None:
    """Put another model into a slot; if it does not load, the old one comes back."""
    _operate(name, "swap", {"model": model}, no_wait, as_json)


def _operate(name: str, act: str, body: dict[str, Any] | None, no_wait: bool, as_json: bool) -> None:
    wait = None if no_wait else "true"
    _print_one(Client().post(path(name, act), body, LOAD_S, wait=wait), as_json)


def _print_one(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif "name" in answer:
        print_slots([answer])
    else:
        click.echo(
            f"operation {answer['operation']} has begun; see hal0 slots or /api/operations/{answer['operation']}"
        )


def _add_operation(act: str, text: str) -> None:
    @slots.command(act, help=text)
    @slot_argument
    @click.option("--no-wait", is_flag=True, help="Print the operation's id instead of waiting for its end.")
    @json_option
    def operate(name: str, no_wait: bool, as_json: bool) -> None:
        _operate(name, act, None, no_wait, as_json)


def _add_change(act: str, text: str) -> None:
    @slots.command(act, help=text)
    @slot_argument
    @json_option
    def change(name: str, as_json: bool) -> None:
        _print_one(Client().post(path(name, act)), as_json)


for _act, _text in OPERATIONS.items():
    _add_operation(_act, _text)
for _act, _text in CHANGES.items():
    _add_change(_act, _text)
