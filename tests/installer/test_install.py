"""`make install` on a fresh Debian host, from the README's commands to an answer of a real lemond."""

from __future__ import annotations

import json
import re
import sqlite3
import time

import pytest

from tests.installer.checkout import MODELS
from tests.installer.conftest import INSTALL, PLAY_S, Installation
from tests.installer.host import Host
from tests.support.waiting import eventually

DRIFT_S = 120.0  # the timer begins a run every ten seconds
STREAM = """
import http.client, json
connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=120)
body = {"model": "primary", "stream": True, "max_tokens": 24, "messages": [{"role": "user", "content": "Hello."}]}
connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
answer = connection.getresponse()
assert answer.status == 200, (answer.status, answer.read())
for line in answer:
    if line.strip():
        print(line.decode().rstrip())
"""
SETTINGS = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8080/api/settings", timeout=60).read().decode())
"""
EVICT = """
import json, sys, urllib.request
key = open("/etc/hal0/lemonade.key").read().strip()
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
body = json.dumps({"model_name": sys.argv[1]}).encode()
request = urllib.request.Request("http://127.0.0.1:13305/v1/unload", body, headers)
print(urllib.request.urlopen(request, timeout=60).status)
"""


def recap(output: str) -> dict[str, int]:
    """Ansible's closing counts of one host."""
    [line] = re.findall(r"^\S+ +: (ok=.*)$", output, re.MULTILINE)
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}


def changes(output: str) -> list[str]:
    """The tasks that changed something; AssertionError where Ansible counts others."""
    tasks = re.split(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+$", output, flags=re.MULTILINE)
    found = [
        name
        for name, said in zip(tasks[1::2], tasks[2::2], strict=True)
        if re.search(r"^changed: ", said, re.MULTILINE)
    ]
    counts = recap(output)
    assert (counts["changed"], counts["failed"], counts["ignored"]) == (len(found), 0, 0), output[-3000:]
    return found


def stored(host: Host, slot: str) -> tuple[str, str]:
    """State and reason of a slot as hal0.db has them."""
    with sqlite3.connect(f"file:{host.root}/var/lib/hal0/hal0.db?mode=ro", uri=True) as db:
        row: tuple[str, str] = db.execute("SELECT state, reason FROM slot_state WHERE slot = ?", (slot,)).fetchone()
    db.close()
    return row


def test_the_commands_of_the_readme_install_an_appliance_that_answers(installation: Installation) -> None:
    counts = recap(installation.output)
    assert (counts["failed"], counts["unreachable"], counts["ignored"]) == (0, 0, 0)
    for slot, model in (("primary", "tiny-a"), ("embed", "tiny-embed"), ("rerank", "tiny-rerank")):
        assert re.search(rf"{slot} +\S+ +{model} +answered in", installation.output), installation.output[-3000:]


def test_a_dry_run_on_a_fresh_host_fails_nowhere_and_changes_nothing(installation: Installation) -> None:
    counts = recap(installation.dry_run)
    assert (counts["failed"], counts["ignored"]) == (0, 0)


def test_a_chat_streams_through_port_8080(lasting: Host) -> None:
    eventually(lambda: lasting.run("hal0 status", check=False).returncode == 0, "hal0 is up after the boot")
    lines = lasting.python(STREAM, within=180).splitlines()
    events = [line for line in lines if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert len(events) > 10
    assert json.loads(events[1].removeprefix("data: "))["object"] == "chat.completion.chunk"


def test_the_settings_say_that_the_socket_decides_where_hal0_listens(lasting: Host) -> None:
    eventually(lambda: lasting.run("hal0 status", check=False).returncode == 0, "hal0 is up after the boot")
    told = {one["key"]: one for one in json.loads(lasting.python(SETTINGS))}
    for key, value in (("server.host", "0.0.0.0"), ("server.port", 8080)):
        one = told[key]
        assert (one["value"], one["source"], one["fixed"], one["pending"]) == (value, "hal0.socket", True, False)


def test_a_second_run_changes_nothing_and_remembers_what_was_set(lasting: Host) -> None:
    assert changes(lasting.run("cd hal0 && make install", within=PLAY_S).stdout) == []
    assert json.loads(lasting.says("cat /etc/hal0/set.json")) == {"hal0_extra_models_dir": MODELS}


def test_a_dry_run_on_an_installed_host_has_nothing_to_change(lasting: Host) -> None:
    dry_run = lasting.run(f"cd hal0 && {INSTALL.replace('install', 'check', 1)}", within=PLAY_S).stdout
    assert changes(dry_run) == []


def test_a_host_without_a_gpu_is_spared_rocm(lasting: Host) -> None:
    assert "Recommends: libggml0-backend-hip" in lasting.says("apt-cache depends lemonade-server llama.cpp-tools")
    here = lasting.says("dpkg-query -W -f '${Package}\\n'").split()
    assert "llama.cpp-tools" in here
    assert [name for name in here if re.search("backend-hip|rocblas|amdhip", name)] == []


def test_no_process_of_hal0_runs_as_root(lasting: Host) -> None:
    users = lasting.says("ps -eo user:20,args | grep -E '[l]emond|[h]al0app|[/]opt/hal0|[l]lama-server'")
    assert {line.split()[0] for line in users.splitlines()} == {"hal0", "lemonade"}, users


def test_an_eviction_while_hal0_is_stopped_is_written_down_by_the_timer(lasting: Host) -> None:
    lasting.python(STREAM, within=180)
    eventually(lambda: stored(lasting, "primary")[0] == "ready", "the slot is ready")
    lasting.run("systemctl stop hal0.socket hal0.service")
    try:
        assert lasting.python(EVICT, "tiny-a").strip() == "200"
        evicted = time.monotonic()
        eventually(lambda: drift_ran_after(lasting, evicted), "the timer has begun and ended a run", DRIFT_S, every=0.2)
        assert stored(lasting, "primary") == ("offline", "evicted")
    finally:
        lasting.run("systemctl start hal0.target")


def drift_ran_after(host: Host, moment: float) -> bool:
    """Whether a run of the drift checker has ended that began after a moment of the clock that the host shares."""
    names = "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic"
    began, ended = (int(host.says(f"systemctl show -P {name} hal0-drift.service")) for name in names)
    return moment * 1e6 < began <= ended


def test_the_timer_looks_for_drift_every_ten_seconds(lasting: Host) -> None:
    period = lasting.says("systemctl show -P TimersMonotonic hal0-drift.timer")
    assert "OnUnitInactiveUSec=10s" in period
    assert lasting.says("systemctl is-active hal0-drift.timer") == "active"


@pytest.mark.parametrize("path", ["/etc/hal0/lemonade.key", "/etc/lemonade/hal0.env", "/etc/hal0/set.json"])
def test_a_secret_is_readable_by_its_owner_only(lasting: Host, path: str) -> None:
    assert lasting.says(f"stat -c %a {path}") == "600"
