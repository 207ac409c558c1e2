"""`hal0 completion`: a script that teaches a shell to complete hal0's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script: put  eval "$(hal0 completion bash)"  into ~/.bashrc."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "hal0", "_HAL0_COMPLETE").source())
