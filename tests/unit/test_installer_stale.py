"""stale.py of the role host: which units a run that was broken off has left to be restarted; systemd is a script."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "ansible/roles/host/files/stale.py"


def stale(tmp_path: Path, unit: str, when: datetime, state: str = "active") -> list[str]:
    """The units that are told, where `unit` and another one were started then; both read a link and a file."""
    name = "ExecMainStartTimestamp" if unit.endswith(".service") else "ActiveEnterTimestamp"
    shown = f"{name}={when:%a %Y-%m-%d %H:%M:%S.%f} UTC\\nActiveState={state}\\n"
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n[ \"$2\" = {unit} ] && printf '{shown}'\n")
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "current").unlink(missing_ok=True)
    (tmp_path / "current").symlink_to("/usr")
    files = f"{tmp_path}/gone,{tmp_path}/current"
    done = subprocess.run(
        [sys.executable, PROGRAM, f"{unit}:{files}", f"unknown.service:{files}"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("unit", ["hal0.service", "hal0.socket"])
def test_a_unit_that_is_older_than_its_files_is_told(tmp_path: Path, unit: str) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    assert stale(tmp_path, unit, now - hour) == [unit]
    assert stale(tmp_path, unit, now + hour) == []


def test_a_unit_that_does_not_run_is_not_told(tmp_path: Path) -> None:
    assert stale(tmp_path, "hal0.service", datetime.now(UTC) - timedelta(hours=1), "inactive") == []
