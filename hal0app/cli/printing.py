"""What commands print: JSON for programs, aligned columns for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def or_list(ctx: click.Context, list_: click.Command, as_json: bool) -> None:
    """A group without a further word lists."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"--json stands after the command: {ctx.command_path} {ctx.invoked_subcommand} --json")


def as_text(value: Any) -> str:
    """A cell: nothing known is `-`."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {as_text(one)}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_json(value: Any) -> None:
    """`value` as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
    """Aligned columns (heading -> key of a row); `empty` when there are no rows."""
    cells = [[as_text(row.get(key)) for key in columns.values()] for row in rows]
    if not cells:
        click.echo(empty)
        return
    _print_aligned([list(columns), *cells])


def as_time(unix_s: float) -> str:
    """A moment in this machine's time zone."""
    return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_facts(facts: Mapping[str, Any], times: Collection[str] = ()) -> None:
    """One thing: a line for each key; the values of `times` are Unix seconds."""
    shown = {key: as_time(value) if key in times and value else value for key, value in facts.items()}
    _print_aligned([[key, as_text(value)] for key, value in shown.items()])


def _print_aligned(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())
