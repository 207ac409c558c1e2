"""`hal0 models`: list, pull, delete."""

from __future__ import annotations

from typing import Any

import click

from hal0app.cli.client import LOAD_S, Client, Refused, Unreachable, segment
from hal0app.cli.following import follow_download
from hal0app.cli.printing import json_option, or_list, print_json, print_table

COLUMNS = {
    "MODEL": "id",
    "TYPE": "type",
    "GB": "size_gb",
    "LOADED": "resident",
    "SLOTS": "slots",
    "ON DISK": "downloaded",
}


def known_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of models for the shell's completion; none when hal0 does not answer."""
    try:
        names = [model["id"] for model in Client(timeout_s=1.0).get("/api/models")]
    except (Refused, Unreachable):
        return []
    return [name for name in names if name.startswith(incomplete)]


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """The models on this machine; without a further word: list them."""
    or_list(ctx, list_, as_json)


@models.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List every model, whether it is loaded, and the slots that name it."""
    found = Client().get("/api/models")
    print_json(found) if as_json else print_table(COLUMNS, found, "there are no models yet: hal0 models pull NAME")


@models.command()
@click.argument("model")
@click.option("--checkpoint", help="Where a new model comes from, like org/repository:Q4_K_M; its name is user.NAME.")
@click.option("--recipe", help="What runs a new model, like llamacpp.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the download has begun.")
def pull(model: str, checkpoint: str | None, recipe: str | None, no_wait: bool) -> None:
    """Download a model of Lemonade's registry, or a new one from a checkpoint."""
    wanted: dict[str, Any] = {"model_name": model, "checkpoint": checkpoint, "recipe": recipe}
    client = Client()
    begun = client.post("/api/models/pull", {key: value for key, value in wanted.items() if value})
    if no_wait:
        click.echo(f"the download of {model} has begun; see hal0 journal")
    else:
        follow_download(client, begun)


@models.command()
@click.argument("model", shell_complete=known_models)
def clear(model: str) -> None:
    """Forget that a model could not be loaded, so that the next request tries it again."""
    Client().post(f"/api/models/{segment(model)}/clear")
    click.echo(f"{model} may be tried again")


@models.command()
@click.argument("model", shell_complete=known_models)
@click.option("--force", is_flag=True, help="Also while it is loaded or a slot names it.")
def delete(model: str, force: bool) -> None:
    """Delete a model's files."""
    Client().delete(f"/api/models/{segment(model)}", LOAD_S, force="true" if force else None)
    click.echo(f"{model} is deleted")
