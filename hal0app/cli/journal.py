"""`hal0 journal`: what changed and why, and with -f what changes."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from hal0app.cli.client import Client, Unreachable
from hal0app.cli.printing import as_time, json_option, print_json

STREAM = "/api/journal/stream"
PAUSE_S = 1.0
MARKS = {"info": " ", "warning": "!", "error": "E"}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C; survives restarts of hal0.")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=20, show_default=True, help="How many entries.")
@click.option("--slot", help="Only of this slot.")
@click.option("--kind", help="Only of this kind, like slot.state or evict.displaced.")
@click.option("--level", type=click.Choice(["info", "warning", "error"]), help="Only of this level.")
@click.option("-q", "--search", help="Only with this text in the message.")
@json_option
def journal(
    follow: bool, lines: int, slot: str | None, kind: str | None, level: str | None, search: str | None, as_json: bool
) -> None:
    """Show the newest entries of the journal, oldest first; --json with -f prints one object per line."""
    client, wanted = Client(), {"slot": slot, "kind": kind, "level": level, "q": search}
    found = client.get("/api/journal", limit=max(lines, 1), **wanted)
    if as_json and not follow:
        print_json(found[-lines:] if lines else [])
        return
    for entry in found[-lines:] if lines else []:
        _print(entry, as_json)
    if follow:
        newest = found or client.get("/api/journal", limit=1)
        _follow(client, wanted, str(newest[-1]["id"]) if newest else None, as_json)


def _follow(client: Client, wanted: dict[str, str | None], last_id: str | None, as_json: bool) -> None:
    """Print what comes; when the connection is lost, go on after the last entry that was seen."""
    try:
        while True:
            try:
                for event in client.events(STREAM, last_id):
                    last_id = event.id or last_id
                    if _fits(event.data, wanted):
                        _print(event.data, as_json)
            except Unreachable as gone:
                click.echo(f"{gone.message} Trying again.", err=True)
            time.sleep(PAUSE_S)
    except KeyboardInterrupt:
        return


def _fits(entry: dict[str, Any], wanted: dict[str, str | None]) -> bool:
    """Whether the entry is what was asked for, as the API's own filters say."""
    equal = all(value is None or entry.get(key) == value for key, value in wanted.items() if key != "q")
    text = wanted["q"]
    return equal and (text is None or text.lower() in entry["message"].lower())


def _print(entry: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(entry, ensure_ascii=False))
        return
    click.echo(f"{as_time(entry['ts'])} {MARKS.get(entry['level'], ' ')} {entry['kind']:<16} {entry['message']}")
