"""`hal0 drift`: the drift checker, as the timer runs it."""

from __future__ import annotations

import json
import sqlite3
import sys

import click

from hal0app.core.schema import SchemaError
from hal0app.wiring_drift import run_drift

BLIND = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def drift(as_json: bool) -> None:
    """Compare the recorded slot states with what Lemonade holds, and write down the truth.

    Exit status: 0 nothing new, 3 something new was written, 1 Lemonade could not be observed.
    """
    try:
        report = run_drift()
    except (SchemaError, sqlite3.OperationalError, OSError) as problem:
        click.echo(f"hal0 drift: {problem}", err=True)
        sys.exit(BLIND)
    if as_json:
        found = [{"kind": one.kind, "slot": one.slot, "message": one.message, **one.data} for one in report.entries]
        click.echo(json.dumps({"link": report.link, "exit": report.exit_code, "findings": found}))
    else:
        for one in report.entries:
            click.echo(f"{one.kind}: {one.message}")
    if report.exit_code == BLIND:
        click.echo(f"Lemonade could not be observed ({report.link})", err=True)
    sys.exit(report.exit_code)
