"""The `hal0` command: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import sys

# Command -> where it is: a click command, or a plain function of `as_json`.
COMMANDS = {
    "backends": "hal0app.cli.backends:backends",
    "completion": "hal0app.cli.completion:completion",
    "config": "hal0app.cli.config:config",
    "doctor": "hal0app.cli.doctor:doctor",
    "drift": "hal0app.cli.drift:drift",
    "embedded": "hal0app.cli.embedded:embedded",
    "journal": "hal0app.cli.journal:journal",
    "models": "hal0app.cli.models:models",
    "run": "hal0app.cli.run:run",
    "serve": "hal0app.cli.serve:serve",
    "slots": "hal0app.cli.slots:slots",
    "status": "hal0app.cli.status:status",
}


def main() -> None:
    """Run what the command line says: `drift`, which a timer starts every ten seconds, without loading click."""
    words = sys.argv[1:]
    if words in (["drift"], ["drift", "--json"]):
        from hal0app.cli.drift import drift

        drift(as_json=len(words) == 2)
    else:
        from hal0app.cli.group import hal0

        hal0(prog_name="hal0")
