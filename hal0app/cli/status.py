"""`hal0 status`: hal0, Lemonade and the slots at a glance."""

from __future__ import annotations

from typing import Any

import click

from hal0app.cli.client import Client
from hal0app.cli.printing import json_option, print_json
from hal0app.cli.slots import print_slots

LINKS = {
    "up": "answers",
    "busy": "is alive, but silent for the moment (it loads or waits for a model)",
    "silent": "gives no answer in time; the states below are the last known ones",
    "down": "does not answer; the states below are the last known ones",
}


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show hal0, Lemonade and every slot."""
    client = Client()
    lemonade, slots = client.get("/api/residency"), client.get("/api/slots")
    if as_json:
        print_json({"hal0": client.url, "lemonade": lemonade, "slots": slots})
        return
    click.echo(f"hal0 answers at {client.url}")
    click.echo(f"{_named(lemonade)} {LINKS.get(lemonade['link'], lemonade['link'])}")
    click.echo()
    print_slots(slots)


def _named(lemonade: dict[str, Any]) -> str:
    kind = "hal0's embedded engine" if lemonade.get("engine") else "Lemonade"
    return f"{kind} {lemonade['version']}" if lemonade.get("version") else kind
