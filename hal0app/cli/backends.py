"""`hal0 backends`: what can run models on this machine, and installing one."""

from __future__ import annotations

import click

from hal0app.cli.client import Client, segment
from hal0app.cli.following import follow_download
from hal0app.cli.printing import json_option, or_list, print_json, print_table

COLUMNS = {"BACKEND": "id", "STATE": "state", "VERSION": "version", "MESSAGE": "message"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def backends(ctx: click.Context, as_json: bool) -> None:
    """Lemonade's backends; without a further word: list those that this machine can have."""
    or_list(ctx, list_, as_json)


@backends.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that this machine cannot have.")
@json_option
def list_(everything: bool = False, as_json: bool = False) -> None:
    """List the backends with their state."""
    found = [one for one in Client().get("/api/backends") if everything or one["state"] != "unsupported"]
    print_json(found) if as_json else print_table(COLUMNS, found, "no backend can be used here; see --all")


@backends.command()
@click.argument("backend", metavar="RECIPE:BACKEND")
@click.option("--no-wait", is_flag=True, help="Return as soon as the download has begun.")
def install(backend: str, no_wait: bool) -> None:
    """Install a backend, like llamacpp:vulkan."""
    if backend.count(":") != 1:
        raise click.UsageError(f"'{backend}' is not RECIPE:BACKEND, like llamacpp:vulkan")
    client = Client()
    begun = client.post(f"/api/backends/{segment(backend)}/install")
    if begun is None:
        click.echo(f"{backend} is installed already")
    elif no_wait:
        click.echo(f"the download of {backend} has begun; see hal0 journal")
    else:
        follow_download(client, begun)
