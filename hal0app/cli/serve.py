"""`hal0 serve`: become gunicorn, with hal0's own configuration of it."""

from __future__ import annotations

import os
import sys

import click

COMMAND = ("-m", "gunicorn", "-c", "python:hal0app.gunicorn_conf", "hal0app.wiring:create_app()")


@click.command()
def serve() -> None:
    """Serve the API and the dashboard, on the address in hal0.toml (HAL0_HOST and HAL0_PORT win)."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *COMMAND])  # noqa: S606 - gunicorn takes this process over
