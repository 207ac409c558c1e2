"""`hal0 run`: try hal0 on this machine, with a Lemonade that runs already or with the embedded engine."""

from __future__ import annotations

from pathlib import Path

import click

from hal0app.trial.home import Home
from hal0app.trial.process import stop_on_signals
from hal0app.trial.session import Trial
from hal0app.trial.trouble import CannotRun


@click.command()
@click.option(
    "--home",
    envvar="HAL0_HOME",
    default=".hal0",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for settings, state and logs [HAL0_HOME].",
)
@click.option(
    "--models",
    envvar="MODELS",
    type=click.Path(path_type=Path),
    help="A folder of GGUF files to offer [MODELS].",
)
def run(home: Path, models: Path | None) -> None:
    """Try hal0 here: fetch a small model once, start everything, stop everything on Ctrl-C."""
    try:
        stop_on_signals()
        Trial(Home(home.absolute()), models, click.echo).run()
    except CannotRun as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("\nhal0 has stopped.")
