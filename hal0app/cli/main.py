"""The `hal0` command: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "drift": "hal0app.cli.drift:drift",
    "embedded": "hal0app.cli.embedded:embedded",
    "run": "hal0app.cli.run:run",
    "serve": "hal0app.cli.serve:serve",
}


class LazyGroup(click.Group):
    """Finds a subcommand by name in `COMMANDS`, so that `hal0 drift` never imports a web framework."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """hal0: a dependable, OpenAI-compatible inference appliance on Lemonade Server."""
