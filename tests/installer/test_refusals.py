"""What stops an installation before anything is changed: with the reason and the fix."""

from __future__ import annotations

import re

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S
from tests.installer.host import Host
from tests.installer.test_install import recap

LISTENER = "python3 -c 'import socket,time; s=socket.create_server((\"0.0.0.0\", 8080)); time.sleep(3600)'"


def refused(host: Host, settings: str = "") -> str:
    """What `make install` says that must fail without a change."""
    command = f'cd hal0 && make install SET="hal0_extra_models_dir={MODELS} {settings}"'
    done = host.run(command, check=False, within=PLAY_S)
    assert done.returncode != 0
    assert recap(done.stdout)["changed"] == 0, done.stdout[-4000:]
    return done.stdout


def test_a_package_without_a_checksum_is_refused(installed: Host) -> None:
    said = refused(installed, "hal0_lemonade_method=deb hal0_lemonade_url=file:///root/lemonade.deb")
    assert "hal0_lemonade_sha256" in said


def test_an_occupied_port_is_refused(installed: Host) -> None:
    """As on a host that never had hal0: its unit is away, and another program has the port."""
    installed.run("systemctl stop hal0.socket hal0.service && mv /etc/systemd/system/hal0.service kept.service")
    installed.run(f"systemd-run --unit=other {LISTENER}")
    try:
        said = refused(installed)
    finally:
        installed.run("systemctl stop other; mv kept.service /etc/systemd/system/hal0.service; systemctl daemon-reload")
        installed.run("systemctl start hal0.target")
    assert re.search(r"fail +another program has hal0'+s port: 8080", said), said[-3000:]
    assert 'SET="hal0_port=ANOTHER"' in said
