"""An installed host through its life: other machines, reboots, power cuts, kills, and its sandbox from inside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests

from tests.installer.host import Host
from tests.installer.test_install import STREAM
from tests.support.waiting import eventually

UNITS = ("hal0.target", "hal0.socket", "hal0.service", "hal0-drift.timer", "lemond.service")
PROBE = Path(__file__).with_name("probe.py")
MAY = {"write /etc/hal0/slots", "write /etc/hal0/conf.d", "write /var/lib/hal0"}
BACK_S = 120.0
# Makes hal0 end, and asks on a port until the next one is ready: prints every status but 200.
ASKED_MEANWHILE = """
import http.client, subprocess, sys, time

def shown(name):
    command = ["systemctl", "show", "-P", name, "hal0.service"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

before, refused = shown("MainPID"), []
subprocess.run(sys.argv[2:], check=True)
while shown("MainPID") in (before, "0") or shown("ActiveState") != "active":
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    refused += [status] if status != 200 else []
    time.sleep(0.1)
print(refused)
"""


@pytest.fixture(scope="module")
def elsewhere(lasting: Host) -> str:
    """hal0's address for a program on another machine."""
    return f"http://127.0.0.1:{lasting.network.forward(8080)}"


@pytest.fixture
def answering(lasting: Host) -> Host:
    """The host, once every unit is up and a chat is answered."""
    answers(lasting)
    return lasting


def answers(host: Host) -> None:
    eventually(lambda: states(host) == dict.fromkeys(UNITS, "active"), "every unit is up", BACK_S, every=0.5)
    eventually(lambda: "data: [DONE]" in host.python(STREAM, within=BACK_S), "a chat is answered", BACK_S, every=0.5)


def states(host: Host) -> dict[str, str]:
    told = host.run(f"systemctl is-active {' '.join(UNITS)}", check=False).stdout.split()
    return dict(zip(UNITS, told, strict=True))


def test_another_machine_may_read_and_infer_and_needs_the_key_to_change(answering: Host, elsewhere: str) -> None:
    chat = {"model": "primary", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello."}]}
    assert requests.get(f"{elsewhere}/api/slots", timeout=30).status_code == 200
    assert requests.post(f"{elsewhere}/v1/chat/completions", json=chat, timeout=60).status_code == 200

    change = {"priority": 60}
    refused = requests.patch(f"{elsewhere}/api/slots/primary", json=change, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "auth.key_required")
    key = answering.says("cat /etc/hal0/admin.key")
    allowed = requests.patch(
        f"{elsewhere}/api/slots/primary", json=change, headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    assert allowed.status_code == 200, allowed.text


def test_a_reboot_brings_everything_back(answering: Host) -> None:
    answering.reboot()
    answers(answering)


def test_a_power_cut_loses_nothing(answering: Host) -> None:
    slots = answering.says("ls /etc/hal0/slots")
    answering.cut_power()
    answers(answering)
    assert answering.says("ls /etc/hal0/slots") == slots
    assert answering.says("hal0 config check").endswith("everything makes sense")


@pytest.mark.parametrize("pattern", ["[h]al0app.gunicorn_conf", "/usr/bin/[l]emond", "[l]lama-server"])
def test_what_is_killed_is_back(answering: Host, pattern: str) -> None:
    """pkill, for what pgrep finds may be gone before a kill of it, which then fails."""
    before = processes(answering, pattern)
    answering.run(f"pkill -KILL -f '{pattern}'")
    eventually(lambda: not before & processes(answering, pattern), "they are gone", BACK_S)
    answers(answering)
    assert processes(answering, pattern)


def processes(host: Host, pattern: str) -> set[str]:
    return set(host.run(f"pgrep -f '{pattern}'", check=False).stdout.split())


@pytest.mark.parametrize("port", ["8080", "8085"])
def test_a_request_waits_in_the_socket_while_hal0_restarts(answering: Host, port: str) -> None:
    """The port of a slot, too: hal0 opens it itself, and systemd keeps it."""
    restart = ["systemctl", "--no-block", "restart", "hal0.service"]
    assert answering.python(ASKED_MEANWHILE, port, *restart, within=BACK_S) == "[]\n"
    stored = "systemctl show -P NFileDescriptorStore hal0.service"
    eventually(lambda: answering.says(stored) == "19", "systemd keeps the slots' ports", BACK_S, every=0.5)


def test_a_slots_port_waits_after_a_crash_likewise(answering: Host) -> None:
    crash = ["systemctl", "kill", "--signal=KILL", "hal0.service"]
    assert answering.python(ASKED_MEANWHILE, "8085", *crash, within=BACK_S) == "[]\n"


def test_hal0_may_restart_lemond_and_do_nothing_else_to_units(answering: Host) -> None:
    def allowed(verb: str, unit: str) -> bool:
        command = f"runuser -u hal0 -- systemctl --no-ask-password {verb} {unit}"
        return answering.run(command, check=False).returncode == 0

    assert allowed("restart", "lemond.service")
    assert not allowed("stop", "lemond.service")
    assert not allowed("restart", "ssh.service")
    assert not allowed("restart", "hal0.service")


@pytest.mark.parametrize("unit", ["hal0.service", "hal0-drift.service"])
def test_a_unit_is_little_exposed(lasting: Host, unit: str) -> None:
    verdict = lasting.run(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", verdict)
    assert found is not None, verdict
    assert float(found.group(1)) <= 2.0


@pytest.mark.parametrize("unit", ["hal0.service", "hal0-drift.service"])
def test_the_sandbox_holds_from_inside(lasting: Host, unit: str) -> None:
    """The unit itself, with a program in it that tries everything."""
    lines = lasting.says(f"systemctl cat {unit}").splitlines()
    dropped = (
        "Exec",
        "Type=",
        "Watchdog",
        "Restart",
        "Sockets",
        "Requires",
        "PartOf",
        "RuntimeDirectory",
        "SuccessExit",
    )
    kept = [line for line in lines if not line.startswith(dropped)]
    service = kept.index("[Service]") + 1
    kept[service:service] = ["Type=oneshot", "ExecStart=/usr/bin/python3 /usr/local/lib/hal0-probe.py"]
    lasting.copy(PROBE, "/usr/local/lib/hal0-probe.py")
    lasting.write("/root/probe.service", "\n".join(kept))
    lasting.run(f"cp probe.service /run/systemd/system/probe-{unit} && systemctl daemon-reload")
    lasting.run(f"systemctl start probe-{unit}")
    command = f"journalctl -o cat --no-pager --quiet _SYSTEMD_UNIT=probe-{unit}"
    said = eventually(lambda: lasting.run(command).stdout.splitlines(), "the journal has what it printed", every=0.2)
    could = {name for name, worked in json.loads(said[-1]).items() if worked}
    assert could == (MAY if unit == "hal0.service" else {"write /var/lib/hal0"})
