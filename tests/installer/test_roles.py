"""Files of roles by themselves: which releases stay, and what a firewall is told; its program only takes notes."""

from __future__ import annotations

import json

from tests.installer.host import Host
from tests.installer.plays import PLAY_S, play
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


def test_a_package_that_was_broken_off_in_the_middle_is_installed_as_a_whole(lasting: Host) -> None:
    lasting.run("apt-get -qq update && apt-get -qq download hello && dpkg --unpack hello_*.deb", within=PLAY_S)
    assert changes(play(lasting, "host", "whole")[1]) == ["host : Install them as a whole"]
    assert lasting.says("dpkg-query -W -f '${db:Status-Status}' hello") == "installed"
    assert changes(play(lasting, "host", "whole")[1]) == []
    lasting.run("dpkg --purge hello && rm hello_*.deb")


def test_rocm_comes_where_the_kernel_offers_it_a_gpu_unless_it_is_not_wanted(lasting: Host) -> None:
    def changes_with_a_gpu(**variables: object) -> list[str]:
        return changes(play(lasting, "lemonade", "apt", dry=True, hal0_machine={"gpu": "gfx1151"}, **variables)[1])

    assert "host : Install libggml0-backend-hip" in changes_with_a_gpu()
    assert changes_with_a_gpu(hal0_rocm=False) == []


def test_packages_that_did_not_come_are_not_remembered(lasting: Host) -> None:
    before = lasting.says("cat /opt/hal0/installed-packages.json")
    status, said = play(lasting, "host", "packages", check=False, hal0_packages=["there-is-no-such-package"])
    assert status != 0
    assert "there-is-no-such-package did not come: No package matching" in " ".join(said.split())
    assert lasting.says("cat /opt/hal0/installed-packages.json") == before


def test_an_archive_that_is_no_lemonade_takes_nothing_away(lasting: Host) -> None:
    lasting.run("mkdir empty && touch empty/readme && tar czf empty.tar.gz empty")
    fetched = {"hal0_fetched_file": {"dest": "/root/empty.tar.gz"}, "hal0_lemonade_url": "file:///root/empty.tar.gz"}
    status, said = play(lasting, "lemonade", "tarball", check=False, hal0_lemonade_sha256="0" * 64, **fetched)
    assert status != 0
    assert "has no program lemond in its one folder" in " ".join(said.split())
    assert lasting.says("systemctl is-active lemond.service") == "active"
    assert lasting.says("readlink /proc/$(systemctl show -P MainPID lemond.service)/exe") == "/usr/bin/lemond"
    lasting.run("rm -r empty empty.tar.gz /opt/hal0/lemonade")


def test_what_a_run_that_was_broken_off_has_written_counts_in_the_next_one(lasting: Host) -> None:
    def restarts(role: str) -> list[str]:
        return changes(play(lasting, role, "stale", hal0_release_dir="")[1])

    assert restarts("hal0") + restarts("lemonade") == []
    lasting.run("touch /etc/hal0/hal0.toml /etc/lemonade/hal0.env")
    assert restarts("hal0") == ["hal0 : Hal0 runs what was there before", "hal0 : Restart hal0"]
    assert restarts("lemonade") == ["lemonade : Lemond runs what was there before", "lemonade : Restart lemond"]
    assert restarts("hal0") + restarts("lemonade") == []


def test_an_upgrade_after_one_that_was_broken_off_keeps_to_the_snapshot_of_before(lasting: Host) -> None:
    def snapshot() -> str:
        return play(lasting, "hal0", "snapshot", hal0_release_dir="")[1]

    snapshot()
    first = lasting.says("cat /opt/hal0/way-back")
    assert lasting.says(f"ls -d {SNAPSHOTS}/*") == first
    assert "an upgrade or a rollback was broken off" in lasting.run("hal0 doctor", check=False).stdout
    assert "all is as it was in" in " ".join(snapshot().split())
    assert lasting.says(f"ls -d {SNAPSHOTS}/*") == first
    lasting.run(f"rm -r {SNAPSHOTS} /opt/hal0/way-back")


def test_what_somebody_else_put_where_hal0s_files_go_is_left_alone(lasting: Host) -> None:
    def preflight() -> tuple[int, str]:
        return play(lasting, "preflight", "files", check=False, hal0_lemonade_method="tarball")

    assert preflight()[0] == 0
    lasting.run("mv /usr/local/bin/hal0 kept && touch /usr/local/bin/hal0 /etc/systemd/system/lemond.service")
    status, said = preflight()
    lasting.run("rm /etc/systemd/system/lemond.service && mv kept /usr/local/bin/hal0")
    assert status != 0
    assert "/etc/systemd/system/lemond.service, /usr/local/bin/hal0: not written by" in " ".join(said.split())
