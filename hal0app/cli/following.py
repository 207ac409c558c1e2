"""Watching a download until it ends."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from hal0app.cli.client import Client

PERIOD_S = 1.0
GB = 1e9


def follow_download(client: Client, begun: dict[str, Any]) -> None:
    """Show how a download goes on, and return at its end; ClickException when it failed or was stopped."""
    last = begun
    while True:
        rows = {row["id"]: row for row in client.get("/api/downloads")}
        last = rows.get(begun["id"], {**last, "running": False, "status": _vanished(last)})
        _show(last)
        if not last["running"]:
            break
        time.sleep(PERIOD_S)
    _finish(last)


def _vanished(last: dict[str, Any]) -> str:
    """What a download that is not listed any more has come to: lemond forgets the completed ones soon."""
    return "completed" if (last.get("percent") or 0) >= 99 else "not listed any more; see hal0 journal"


def _show(row: dict[str, Any]) -> None:
    """One line that is written over, and only where a person looks."""
    if not sys.stderr.isatty():
        return
    done, total = row.get("bytes_downloaded") or 0, row.get("bytes_total") or 0
    share = f"{row['percent']:.0f} %" if row.get("percent") is not None else ""
    size = f"{done / GB:.2f} of {total / GB:.2f} GB" if total else ""
    click.echo(f"\r{row['name']}: {row['status']} {share} {size}".ljust(78), err=True, nl=not row["running"])


def _finish(row: dict[str, Any]) -> None:
    if row["status"] != "completed":
        raise click.ClickException(f"{row['name']}: {row.get('error') or row['status']}")
    click.echo(f"{row['name']} is there")
