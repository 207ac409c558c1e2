"""`hal0 drift`: the drift checker, as the timer runs it. No click here: its import costs more than the whole check."""

from __future__ import annotations

import json
import sqlite3
import sys

from hal0app.core.schema import SchemaError
from hal0app.wiring_drift import run_drift

BLIND = 1


def drift(as_json: bool) -> None:
    """Compare the recorded slot states with what Lemonade holds, and write down the truth.

    Exit status: 0 nothing new, 3 something new was written, 1 Lemonade could not be observed
    or nothing could be written down.
    """
    try:
        report = run_drift()
    except (SchemaError, sqlite3.OperationalError, OSError) as problem:
        print(f"hal0 drift: {problem}", file=sys.stderr)
        sys.exit(BLIND)
    if as_json:
        found = [{"kind": one.kind, "slot": one.slot, "message": one.message, **one.data} for one in report.entries]
        print(json.dumps({"link": report.link, "exit": report.exit_code, "findings": found}))
    else:
        for one in report.entries:
            print(f"{one.kind}: {one.message}")
    if report.problem:
        print(f"hal0 drift: {report.problem}", file=sys.stderr)
    elif report.exit_code == BLIND:
        print(f"Lemonade could not be observed ({report.link})", file=sys.stderr)
    sys.exit(report.exit_code)
