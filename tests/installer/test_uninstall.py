"""`make uninstall`: what it keeps, and that PURGE=1 leaves nothing."""

from __future__ import annotations

from tests.installer.belongings import unowned
from tests.installer.conftest import PLAY_S, Installation
from tests.installer.host import Host
from tests.installer.test_methods import there

# A package of somebody's that wants one which was installed for hal0.
WANTS_POLKIT = """
mkdir -p wants/DEBIAN && printf 'Package: wants-polkit\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody\\n\
Depends: polkitd\\nDescription: wants it\\n' > wants/DEBIAN/control && dpkg-deb -b wants . && dpkg -i wants-polkit_*.deb
"""
# What the proxy has on a host besides Caddy.
PROXY = ("/etc/hal0-proxy", "/etc/systemd/system/hal0-proxy.service", "/var/lib/private/hal0-proxy")


def test_an_uninstalled_host_keeps_models_and_slots_and_can_be_purged(
    installed: Host, installation: Installation
) -> None:
    installed.run(WANTS_POLKIT.strip())
    installed.run(f"mkdir -p {PROXY[0]} {PROXY[2]} && cp hal0/ansible/roles/proxy/files/hal0-proxy.service {PROXY[1]}")
    installed.run("systemctl daemon-reload")
    # As one leaves it that is broken off.
    installed.run("systemctl disable --now hal0.target && rm /etc/systemd/system/hal0.target")

    kept = installed.run("cd hal0 && make uninstall", within=PLAY_S).stdout

    assert "PURGE=1" in kept
    assert "polkitd: installed for hal0, and kept" in " ".join(kept.split())
    assert installed.says("dpkg-query -W -f '${db:Status-Status}' wants-polkit polkitd") == "installedinstalled"
    installed.run("dpkg -r wants-polkit")
    assert installed.says("ls /etc/hal0/slots").split() == ["embed.toml", "primary.toml", "rerank.toml"]
    assert installed.says("ls /srv/models").split() == ["tiny-a.gguf", "tiny-b.gguf"]
    assert installed.run("systemctl cat hal0.service", check=False).returncode != 0
    assert installed.says("ls /opt/hal0") == "installed-packages.json"
    assert there(installed, *PROXY) == ["/var/lib/private/hal0-proxy"]

    installed.run("cd hal0 && make uninstall PURGE=1", within=PLAY_S)

    assert unowned(installed, installation.before) == set()
    assert there(installed, *PROXY) == []
    assert installed.run("getent passwd hal0; getent group hal0", check=False).stdout == ""
    assert installed.run("systemctl list-unit-files --no-legend 'hal0*' 'lemond*'", check=False).stdout == ""
    packages = installed.run("dpkg-query -W -f '${db:Status-Status}\\n' 'lemonade*' 'llama.cpp*'", check=False).stdout
    assert not {"installed", "config-files"} & set(packages.splitlines())
    assert installed.says("apt-mark showhold") == ""
