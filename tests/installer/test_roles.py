"""Files of roles by themselves: which releases stay, and what a firewall is told; its program only takes notes."""

from __future__ import annotations

import json

from tests.installer.host import Host
from tests.installer.plays import play
from tests.installer.test_install import changes

SNAPSHOTS, RELEASES, ARCHIVES = "/opt/hal0/snapshots", "/opt/hal0/releases", "/opt/hal0/lemonade/releases"
NOTES = "/root/ufw.log"
UFW = f"""#!/bin/sh
[ "$1" = status ] && {{ echo Status: active; exit; }}
echo "$@" >> {NOTES}
"""


def test_what_a_snapshot_is_of_stays_for_as_long_as_the_snapshot(lasting: Host) -> None:
    """Archives of Lemonade, too. What no snapshot that stays is of goes, and so does one that was broken off."""
    current = lasting.says("basename $(readlink /opt/hal0/current)")
    old = [f"{SNAPSHOTS}/2020010{day}T000000Z--{archive}--0.0.{day}-abc" for day, archive in ((1, "a-1"), (2, "b--2"))]
    broken = f"{SNAPSHOTS}/20200103T000000Z--c-3--0.0.3-abc.unfinished"
    archives = [f"{ARCHIVES}/{name}" for name in ("a-1", "b--2", "c-3")]
    releases = [f"{RELEASES}/0.0.{day}-abc" for day in (1, 2, 3)]
    for folder in (*old, broken, *archives, *releases):
        lasting.run(f"mkdir -p {folder} && touch -d 2020-01-01 {folder}")

    play(lasting, "hal0", "prune", hal0_keep=1, hal0_release_dir=f"/x/{current}")

    assert lasting.says(f"ls -d {SNAPSHOTS}/*") == old[1]
    assert lasting.says(f"ls {ARCHIVES}") == "b--2"
    assert set(lasting.says(f"ls {RELEASES}").split()) == {"0.0.2-abc", current}
    lasting.run(f"rm -r {old[1]} /opt/hal0/lemonade {releases[1]}")


def firewall(host: Host, **variables: object) -> tuple[list[str], list[str]]:
    """What a firewall was told, and the tasks that changed something."""
    said = play(host, "hal0", "firewall", hal0_proxy=False, hal0_release_dir="", **variables)[1]
    return host.run(f"cat {NOTES}; rm -f {NOTES}", check=False).stdout.splitlines(), changes(said)


def test_a_firewall_is_opened_when_it_is_asked_for_and_closed_again(lasting: Host) -> None:
    lasting.write("/usr/local/sbin/ufw", UFW)
    lasting.run("chmod +x /usr/local/sbin/ufw")
    assert firewall(lasting)[1] == []
    assert firewall(lasting, hal0_open_firewall=True)[0] == ["allow 8080/tcp"]
    assert json.loads(lasting.says("cat /opt/hal0/firewall.json")) == {"kind": "ufw", "port": 8080}
    assert firewall(lasting, hal0_open_firewall=True)[1] == []
    moved = firewall(lasting, hal0_open_firewall=True, hal0_port=8081)
    assert moved[0] == ["delete allow 8080/tcp", "allow 8081/tcp"]
    assert firewall(lasting)[0] == ["delete allow 8081/tcp"]
    assert lasting.run("ls /opt/hal0/firewall.json", check=False).returncode != 0
    lasting.run("rm /usr/local/sbin/ufw")
