"""Two hosts from one inventory over SSH, from this machine's Python; each with settings and a user of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installer import checkout
from tests.installer.conftest import PLAY_S, Installation
from tests.installer.host import Host, booted
from tests.installer.test_install import STREAM

HOST = """\
    {name}:
      ansible_host: 127.0.0.1
      ansible_port: {port}
      ansible_user: {user}
      ansible_ssh_private_key_file: {key}
      ansible_ssh_common_args: -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
      ansible_python_interpreter: /usr/bin/python3
      hal0_extra_models_dir: {models}
      hal0_allowed_hosts: [{name}.example]
      hal0_lemonade_method: {method}
"""
# Somebody who is not root, but has sudo.
ADMINISTRATOR = (
    "useradd -m -s /bin/sh admin && echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin"
    " && cp -r .ssh /home/admin/ && chown -R admin: /home/admin/.ssh"
)
UNITS = ("hal0.service", "hal0.socket", "lemond.service")


@pytest.fixture(scope="module")
def two(installation: Installation) -> Iterator[dict[str, Host]]:
    """Two hosts that boot from the installed disk."""
    with booted(installation.image) as one, booted(installation.image) as other:
        yield {"one": one, "other": other}


@pytest.fixture
def inventory(two: dict[str, Host], tmp_path: Path) -> Path:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ports = {name: host.accept_ssh(key.with_suffix(".pub")) for name, host in two.items()}
    two["other"].run(ADMINISTRATOR)
    differ = {"one": {"user": "root", "method": "apt"}, "other": {"user": "admin", "method": "existing"}}
    lines = [HOST.format(name=name, port=ports[name], key=key, models=checkout.MODELS, **differ[name]) for name in two]
    file = tmp_path / "inventory.yml"
    file.write_text("all:\n  hosts:\n" + "".join(lines))
    return file


def started(host: Host) -> dict[str, str]:
    """When systemd last started each unit."""
    told = host.says(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(UNITS)}").split()
    return dict(zip(UNITS, told, strict=True))


def test_a_variable_of_each_host_restarts_one_unit_of_each(two: dict[str, Host], inventory: Path) -> None:
    before = {name: started(host) for name, host in two.items()}

    done = subprocess.run(
        ["make", "install", f"HOSTS={inventory}", "SET=hal0_serial=2"],
        cwd=checkout.ROOT,
        env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_TIMEOUT": "60"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAY_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]
    counts = dict(re.findall(r"^(one|other) +: .*changed=(\d+)", done.stdout, re.MULTILINE))
    assert counts == {"one": "2", "other": "2"}, done.stdout[-6000:]  # hal0.toml, and the restart
    for name, host in two.items():
        after = started(host)
        assert [unit for unit in UNITS if after[unit] != before[name][unit]] == ["hal0.service"]
        assert f"{name}.example" in host.says("cat /etc/hal0/hal0.toml")
        assert "data: [DONE]" in host.python(STREAM, within=180)
