"""What stops an installation before anything is changed: with the reason and the fix."""

from __future__ import annotations

import json
import re

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S, roles
from tests.installer.host import Host
from tests.installer.test_install import recap

ARCH = 'ID=arch\\nPRETTY_NAME="Arch Linux"\\n'
LISTENER = "python3 -c 'import socket,time; s=socket.create_server((\"0.0.0.0\", 8080)); time.sleep(3600)'"


def refused(host: Host, settings: str = "") -> str:
    """What `make install` says that must fail without a change."""
    command = f'cd hal0 && make install SET="hal0_extra_models_dir={MODELS} {settings}"'
    done = host.run(command, check=False, within=PLAY_S)
    assert done.returncode != 0
    assert recap(done.stdout)["changed"] == 0, done.stdout[-4000:]
    return done.stdout


def test_a_package_without_a_checksum_is_refused(lasting: Host) -> None:
    said = refused(lasting, "hal0_lemonade_method=deb hal0_lemonade_url=file:///root/lemonade.deb")
    assert "hal0_lemonade_sha256" in said


def test_an_occupied_port_is_refused(lasting: Host) -> None:
    """As on a host that never had hal0: its unit is away, and another program has the port."""
    lasting.run("systemctl stop hal0.socket hal0.service && mv /etc/systemd/system/hal0.service kept.service")
    lasting.run(f"systemd-run --unit=other {LISTENER}")
    try:
        said = refused(lasting)
    finally:
        lasting.run("systemctl stop other; mv kept.service /etc/systemd/system/hal0.service; systemctl daemon-reload")
        lasting.run("systemctl start hal0.target")
    assert re.search(r"fail +another program has hal0'+s port: 8080", said), said[-3000:]
    assert 'SET="hal0_port=ANOTHER"' in said


def test_an_unsupported_distribution_is_refused(lasting: Host) -> None:
    lasting.run(f"cp -a /etc/os-release os-release && rm /etc/os-release && printf '{ARCH}' > /etc/os-release")
    try:
        said = refused(lasting)
    finally:
        lasting.run("rm /etc/os-release && cp -a os-release /etc/os-release")
    assert re.search(r"fail +this distribution is not supported: Arch Linux", said), said[-3000:]
    assert "use Debian, Ubuntu or Fedora" in said


def test_a_full_disk_is_refused(lasting: Host) -> None:
    lasting.run("mkdir full && mount -t tmpfs -o size=8m tmpfs full && mount --bind full /opt")
    try:
        said = refused(lasting, "hal0_models_disk=/root/full")
    finally:
        lasting.run("umount /opt && umount full && rmdir full")
    assert re.search(r"fail +no room on the disk: 0.0 GiB free", said), said[-3000:]
    assert re.search(r"fail +no room for hal0 itself on the disk: 8 MiB free in /opt", said)
    assert "free 256 MiB there" in said


def test_a_second_run_at_the_same_time_is_refused(lasting: Host) -> None:
    done = lasting.run("cd hal0 && flock .installer/lock make preflight", check=False)
    assert done.returncode != 0
    assert "another run of /root/hal0 is under way" in done.stdout


def test_a_slot_file_that_makes_no_sense_is_refused(lasting: Host) -> None:
    file = "/etc/hal0/slots/primary.toml"
    lasting.run(f"cp -a {file} kept.toml && echo 'modle = \"tiny-a\"' >> {file}")
    try:
        said = refused(lasting)
    finally:
        lasting.run(f"cp -a kept.toml {file}")
    assert re.search(rf"{file}: .*modle", " ".join(said.split())), said[-3000:]
    assert "Nothing was changed" in said


def test_a_slot_of_the_inventory_that_makes_no_sense_is_not_written(lasting: Host) -> None:
    slots = {"hal0_slots": {"spare": {"type": "llm", "model": "tiny-b", "device": "toaster"}}}
    lasting.write("/root/slots.json", json.dumps({"hal0_extra_models_dir": MODELS, **slots}))
    done = lasting.run(roles("hal0", "@/root/slots.json"), check=False, within=PLAY_S)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert re.search(r"hal0_slots: spare\.toml: '+device'+", said), said[-3000:]
    assert "No slot was written" in said
    assert "spare" not in lasting.says("ls /etc/hal0/slots")
