"""The table of commands as a click group: help, usage errors and completion."""

from __future__ import annotations

from importlib import import_module

import click

from hal0app.cli.exits import MEANING
from hal0app.cli.main import COMMANDS

EPILOG = "Exit status: " + "; ".join(f"{status} {meaning}" for status, meaning in MEANING.items()) + "."


class LazyGroup(click.Group):
    """Finds a subcommand by name in `COMMANDS`, so that no command pays for the libraries of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, click.Command):
            return found
        as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print the findings as one JSON object.")
        return click.Command(cmd_name, callback=found, params=[as_json], help=found.__doc__)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def hal0() -> None:
    """hal0: a dependable, OpenAI-compatible inference appliance on Lemonade Server."""
