"""Runs on a host: which units were started before files that they read were last written. Standard library only.

stale.py UNIT:FILE[,FILE...]...     prints the units, one in each line; a unit that does not run is none of them
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

FORMAT = "%a %Y-%m-%d %H:%M:%S.%f UTC"


def started(unit: str) -> float | None:
    """When it was started, in seconds since 1970; None when it does not run."""
    name = "ExecMainStartTimestamp" if unit.endswith(".service") else "ActiveEnterTimestamp"
    command = ["systemctl", "show", unit, "--timestamp=us+utc", "--property", f"{name},ActiveState"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    shown = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    try:
        when = datetime.strptime(shown.get(name, ""), FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return when if shown.get("ActiveState") == "active" else None


def written(file: str) -> float:
    """When a file, or the link itself, was last written or put there; 0 where there is none."""
    try:
        return os.lstat(file).st_ctime
    except OSError:
        return 0.0


def main(asked: list[str]) -> None:
    for unit, _, files in (one.partition(":") for one in asked):
        since = started(unit)
        if since is not None and any(written(file) > since for file in files.split(",")):
            print(unit)


if __name__ == "__main__":
    main(sys.argv[1:])
