"""ready.py of the role hal0: it waits for a hal0 that comes up, and for no other; systemd is a script of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "ansible/roles/hal0/files/ready.py"
LONG_S, AT_ONCE = "60", "0"
UP = {"LoadState": "loaded", "ActiveState": "active", "Result": "success", "NRestarts": "4", "MainPID": "0"}
NOWHERE = "http://127.0.0.1:9"  # discard, where nobody listens


class Answers(BaseHTTPRequestHandler):
    """/readyz, first with 503 and then with 200."""

    server: Readyz

    def do_GET(self) -> None:
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        body = json.dumps({"lemonade": "up" if status == 200 else "down"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Readyz(ThreadingHTTPServer):
    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        super().__init__(("127.0.0.1", 0), Answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def readyz() -> Iterator[Readyz]:
    with Readyz(503) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def wait(tmp_path: Path, url: str, seconds: str = LONG_S, more: str = "", **unit: str) -> tuple[int, str]:
    """Exit status and words of the program, on a host where systemd says this of hal0."""
    shown = "\n".join(f"{name}={value}" for name, value in {**UP, **unit}.items())
    programs = {"systemctl": f"cat <<END\n{shown}\nEND\n{more}", "journalctl": "echo 'ImportError: no'\necho\necho bye"}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, PROGRAM, url, seconds],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_hal0_that_comes_up_is_waited_for(tmp_path: Path, readyz: Readyz) -> None:
    status, said = wait(tmp_path, readyz.url)
    assert (status, json.loads(said)) == (0, {"lemonade": "up"})


def test_what_a_hal0_says_that_is_up_and_not_ready_is_told_when_the_time_is_over(
    tmp_path: Path, readyz: Readyz
) -> None:
    assert wait(tmp_path, readyz.url, AT_ONCE) == (1, '{"lemonade": "down"}\n')


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ({"ActiveState": "failed", "Result": "exit-code"}, "hal0.service has failed (exit-code)"),
        ({"LoadState": "not-found"}, "there is no hal0.service on this host"),
    ],
)
def test_a_unit_that_has_failed_is_not_waited_for(tmp_path: Path, unit: dict[str, str], reason: str) -> None:
    assert wait(tmp_path, NOWHERE, **unit) == (1, f"{reason}; its last words: ImportError: no / bye\n")


def test_a_unit_that_ends_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    count = f'echo >> {tmp_path}/looks; echo "NRestarts=$(wc -l < {tmp_path}/looks)"'
    status, said = wait(tmp_path, NOWHERE, more=count)
    assert (status, said.partition(";")[0]) == (1, "it ends again and again")


def test_a_worker_that_ends_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    """gunicorn gives it a successor each time, and systemd sees one process that runs."""
    with subprocess.Popen(["sh", "-c", "while :; do sleep 0.3; done"]) as gunicorn:
        status, said = wait(tmp_path, NOWHERE, MainPID=str(gunicorn.pid))
        gunicorn.kill()
    assert (status, said.partition(";")[0]) == (1, "it ends again and again")
