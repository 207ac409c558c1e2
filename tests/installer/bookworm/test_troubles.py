"""A host in trouble: little memory, hangs, a stop under load. It is cured, and the journal tells the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.installer.bookworm.conftest import Bookworm
from tests.installer.host import Host
from tests.installer.test_host_life import answers
from tests.support.waiting import eventually

CURED_S = 240.0
STOP_US = 5_000_000  # what a stop may take (6-installer), by systemd's own clock
HUNGRY = """
import http.client, json, threading
words = json.dumps({"model": "primary", "messages": [{"role": "user", "content": "x" * 60_000_000}]}).encode()
def send():
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
        connection.request("POST", "/v1/chat/completions", words, {"Content-Type": "application/json"})
        connection.getresponse().read()
    except OSError:
        pass
senders = [threading.Thread(target=send) for _ in range(4)]
[one.start() for one in senders], [one.join() for one in senders]
"""
EATER = "import sys; bytearray(int(sys.argv[1])); print('had it')"
# One answer is under way, another waits for its turn: what they get from a stop, and what comes to who asks during it.
STOPPED = """
import http.client, json, subprocess, threading, time

def ask(**more):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=120)
    body = {"model": "primary", "messages": [{"role": "user", "content": "Hello."}], **more}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()

def wait():
    answer = ask(max_tokens=4)
    told["queued"] = (answer.status, answer.headers.get("Retry-After"), json.loads(answer.read())["error"]["code"])

def come():
    answer = ask(max_tokens=4)
    told["late"].append((answer.status, answer.headers.get("Retry-After")))

told = {"late": []}
stream = ask(stream=True, max_tokens=60000)
for line in stream:
    if line.startswith(b"data: "):
        break
queued = threading.Thread(target=wait)
queued.start()
for _ in range(600):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    connection.request("GET", "/api/slots/primary")
    slot = json.loads(connection.getresponse().read())
    if slot["queued"]:
        break
    time.sleep(0.1)
else:
    raise SystemExit(f"nothing waits: {slot}")
stop = subprocess.Popen(["systemctl", "stop", "hal0.service"], stderr=subprocess.DEVNULL)
newcomers = [threading.Thread(target=come) for _ in range(6)]
for newcomer in newcomers:
    time.sleep(0.4)
    newcomer.start()
stop.wait()
try:
    told["end"] = stream.read()[-300:].decode()
except (OSError, http.client.HTTPException) as problem:
    told["end"] = repr(problem)
[one.join() for one in (queued, *newcomers)]
print(json.dumps(told))
"""


@pytest.fixture
def host(bookworm: Bookworm) -> Host:
    """The host, once every unit is up and a chat is answered; its restarts are counted from now on."""
    bookworm.host.run("systemctl reset-failed hal0.service")
    answers(bookworm.host)
    return bookworm.host


def journal(host: Host, kind: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(host.says(f"hal0 journal --json -n 200 --kind {kind}"))
    return told


def shown(host: Host, unit: str, name: str) -> str:
    return host.says(f"systemctl show -P {name} {unit}")


def worker(host: Host) -> int:
    """The process that serves, a child of the unit's main process; 0 while there is none."""
    found = host.run(f"pgrep -P {shown(host, 'hal0.service', 'MainPID')}", check=False).stdout.split()
    return int(found[0]) if found else 0


@contextmanager
def overridden(host: Host, unit: str, lines: str) -> Iterator[None]:
    """The unit with other settings, restarted before and after."""
    folder = f"/run/systemd/system/{unit}.d"
    try:
        host.run(f"mkdir {folder} && printf '[Service]\n{lines}\n' > {folder}/90-test.conf")
        host.run(f"systemctl daemon-reload && systemctl restart {unit}")
        answers(host)
        yield
    finally:
        host.run(f"rm -r {folder} && systemctl daemon-reload && systemctl restart {unit}")


@pytest.mark.parametrize("unit", ["hal0.service", "hal0-drift.service"])
def test_a_unit_may_not_take_the_models_memory(host: Host, unit: str) -> None:
    limit = int(shown(host, unit, "MemoryMax"))
    command = f"systemd-run --quiet --wait --pipe --collect -p MemoryMax={limit} python3 -c {EATER!r}"
    assert host.run(f"{command} {limit // 2}").stdout.strip() == "had it"
    assert host.run(f"{command} {limit + (64 << 20)}", check=False).stdout.strip() == ""


def test_a_worker_that_was_killed_for_want_of_memory_is_told(host: Host) -> None:
    with overridden(host, "hal0.service", "MemoryMax=120M"):
        before, told = worker(host), len(journal(host, "system.worker"))

        host.python(HUNGRY, within=120)

        eventually(lambda: worker(host) not in (0, before), "the next worker", 60)
        answers(host)
        assert shown(host, "hal0.service", "NRestarts") == "0"  # systemd does not know
        first, *others = [one["data"] for one in journal(host, "system.worker")[told:]]
        assert first == {"pid": before, "out_of_memory": True}
        assert all(one["out_of_memory"] for one in others)  # the next one may get what is left of the same requests


def test_a_worker_that_hangs_is_replaced(host: Host) -> None:
    before = worker(host)
    host.run(f"kill -STOP {before}")
    eventually(lambda: worker(host) not in (0, before), "the next worker", CURED_S, every=1)
    answers(host)
    assert journal(host, "system.worker")[-1]["data"] == {"pid": before, "out_of_memory": False}


def test_systemd_restarts_a_hal0_that_hangs_as_a_whole(host: Host) -> None:
    with overridden(host, "hal0.service", "WatchdogSec=8"):
        fed, restarts = (int(shown(host, "hal0.service", one)) for one in ("WatchdogTimestampMonotonic", "NRestarts"))
        eventually(lambda: int(shown(host, "hal0.service", "WatchdogTimestampMonotonic")) > fed, "the next beat")

        host.run(f"kill -STOP {shown(host, 'hal0.service', 'MainPID')} {worker(host)}")

        eventually(lambda: int(shown(host, "hal0.service", "NRestarts")) > restarts, "a restart", CURED_S, every=1)
        answers(host)
        assert "watchdog" in host.journal("hal0.service").lower()


def test_a_lemond_that_hangs_is_restarted_and_the_story_is_true(host: Host) -> None:
    hangs, pid = len(journal(host, "lemond.hang")), shown(host, "lemond.service", "MainPID")
    host.run(f"kill -STOP {pid}")
    eventually(lambda: shown(host, "lemond.service", "MainPID") not in (pid, "0"), "a restart", CURED_S, every=1)
    answers(host)
    assert len(journal(host, "lemond.hang")) == hangs + 1
    asked = [one for one in journal(host, "lemond.restart") if one["source"] == "drift" and "sign" in one["data"]][-1]
    assert (asked["message"], asked["data"]["sign"]) == ("lemond.service is restarted: it hung", "live")
    eventually(lambda: story(host)[-1] == ("ready", ""), "the journal tells that the slot is ready")
    assert ("offline", "lemond_restarted") in story(host)[-4:]


def story(host: Host) -> list[tuple[str, str]]:
    """The states of the slot primary with their reasons, in order."""
    told = (one["data"] for one in journal(host, "slot.state") if one["slot"] == "primary")
    return [(one["to"], one["reason"]) for one in told]


def test_a_stop_with_streams_open_is_clean_and_loses_no_newcomer(host: Host) -> None:
    """Who comes in its first second may be accepted still, and is told to come back; who comes later waits."""
    lost = len(journal(host, "system.worker"))
    told = json.loads(host.python(STOPPED, within=300))
    host.run("systemctl start hal0.service")  # by the socket already, if somebody waited in it
    answers(host)
    status, retry_after, code = told["queued"]
    assert (status, code) == (503, "system.stopping")
    assert int(retry_after) >= 1
    assert len(told["late"]) == 6, told
    assert all(one in ([200, None], [503, "5"]) for one in told["late"]), told
    assert shown(host, "hal0.service", "Result") == "success"  # not killed by systemd
    began, ended = (
        int(shown(host, "hal0.service", f"{one}TimestampMonotonic")) for one in ("ActiveExit", "InactiveEnter")
    )
    assert 0 <= ended - began <= STOP_US
    assert len(journal(host, "system.worker")) == lost


def test_a_drift_checker_that_finds_nothing_says_nothing(host: Host) -> None:
    host.run("systemctl start hal0-drift.service")  # whatever there was to tell
    cursor = host.says("journalctl --quiet -n 1 --show-cursor | sed -n 's/^-- cursor: //p'")
    for _ in range(3):
        host.run("systemctl start hal0-drift.service")
    said = host.says(f"journalctl --quiet -o cat --after-cursor='{cursor}' -u hal0-drift.service")
    assert said == ""


def test_no_process_of_ours_runs_as_root(host: Host) -> None:
    users = {}
    for unit in ("hal0.service", "lemond.service"):
        pids = host.says(f"systemctl show -P ControlGroup {unit} | xargs -I@ cat /sys/fs/cgroup/systemd@/cgroup.procs")
        users[unit] = set(host.says(f"ps -o user:20= -p {','.join(pids.split())}").split())
    assert users == {"hal0.service": {"hal0"}, "lemond.service": {"lemonade"}}
    assert re.search(r"^User=hal0$", host.says("systemctl cat hal0-drift.service"), re.MULTILINE)
