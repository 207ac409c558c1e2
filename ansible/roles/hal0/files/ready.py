"""Runs on a host: waits until hal0 is ready, or until it is plain that it will not be. Standard library only.

ready.py URL SECONDS     prints what /readyz says, as JSON; exit status 1 and the reason when hal0 does not get ready
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

UNIT = "hal0.service"
OK = 200
ANSWER_S = 2.0  # a hal0 that does not come up leaves the question in its socket
PERIOD_S = 0.5
TOO_OFTEN = 3  # ends of the unit or of its worker, within this program's time
LAST_LINES = 6


def ask(url: str, seconds: float) -> tuple[int, str]:
    """hal0's status, 0 while it does not answer, and what it says."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as problem:
        return 0, f"it does not answer: {problem}"
    finally:
        connection.close()


def unit() -> dict[str, str]:
    """What systemd knows of hal0."""
    names = "LoadState,ActiveState,Result,NRestarts,MainPID"
    command = ["systemctl", "show", UNIT, "--property", names]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def workers(main: str) -> set[str]:
    """The child processes of gunicorn's own, which gives a worker that ends a successor at once."""
    try:
        return set(Path(f"/proc/{main}/task/{main}/children").read_text(encoding="ascii").split())
    except OSError:
        return set()


class Watch:
    """What has ended since it began to look."""

    def __init__(self) -> None:
        self._restarts = int(unit().get("NRestarts") or 0)
        self._workers: set[str] = set()

    def hopeless(self) -> str:
        """Why waiting is of no use; empty while it may be."""
        now = unit()
        if now.get("LoadState") == "not-found":
            return f"there is no {UNIT} on this host"
        if now.get("ActiveState") == "failed":
            return f"{UNIT} has failed ({now.get('Result')})"
        self._workers |= workers(now.get("MainPID", "0"))
        ends = int(now.get("NRestarts") or 0) - self._restarts, len(self._workers) - 1
        return "it ends again and again" if max(ends) >= TOO_OFTEN else ""


def last_words() -> str:
    """The end of hal0's log."""
    command = ["journalctl", "--quiet", "--no-pager", "-o", "cat", "-n", str(LAST_LINES), "SYSLOG_IDENTIFIER=hal0"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", check=False).stdout
    return " / ".join(line.strip() for line in told.splitlines() if line.strip())


def main(url: str, seconds: str) -> int:
    end = time.monotonic() + float(seconds)
    watch = Watch()
    while True:
        status, said = ask(url, ANSWER_S)
        if status == OK:
            print(said)
            return 0
        why = watch.hopeless()
        if why or time.monotonic() > end:
            words = last_words() if why or not status else ""
            print(f"{why or said}{'; its last words: ' + words if words else ''}")
            return 1
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
