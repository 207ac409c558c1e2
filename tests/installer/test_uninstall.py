"""`make uninstall`: what it keeps, and that PURGE=1 leaves nothing."""

from __future__ import annotations

import re

from tests.installer.conftest import PLAY_S, Installation, files_of
from tests.installer.host import Host

# What apt, systemd, Python's compiler and the scripts of the distribution's packages write, and the tests' own files.
NOISE = re.compile(
    r"/(var/(log|cache|tmp|lib/(apt|dpkg|systemd|pam|polkit-1|private|ucf|python))|usr/(lib/python3|share/python3)|tmp|root|srv)\b"
    r"|/etc/(\.pwd\.lock|passwd-|group-|shadow-|gshadow-|subuid-?|subgid-?|ld\.so\.cache|machine-id)$"
    r"|/etc/(ssh/ssh_host_|ssl/certs|rc\d\.d|alternatives)|__pycache__"
    r"|/usr/share/(mime|glib-2.0|fonts|icons)/|/(etc|usr/local/share)/(sgml|xml)\b|/etc/systemd/user/|/etc/\.updated$"
    r"|/usr/lib(64|32|x32)?/ld-linux|/usr/lib/locale|/var/\.updated$|/var/lib/(dbus|sgml-base|xml-core)/"
)


def left(host: Host, installation: Installation) -> set[str]:
    """Files that were not there before and that no package of the distribution owns."""
    new = {one for one in files_of(host) - installation.before if not NOISE.search(one)}
    host.write("/root/new", "\n".join(sorted(new)))
    unknown = host.run("xargs -d '\\n' -a /root/new dpkg -S 2>&1 >/dev/null", check=False).stdout
    return {line.removeprefix("dpkg-query: no path found matching pattern ") for line in unknown.splitlines()}


def test_an_uninstalled_host_keeps_models_and_slots_and_can_be_purged(
    installed: Host, installation: Installation
) -> None:
    kept = installed.run("cd hal0 && make uninstall", within=PLAY_S).stdout
    assert "PURGE=1" in kept
    assert installed.says("ls /etc/hal0/slots").split() == ["embed.toml", "primary.toml", "rerank.toml"]
    assert installed.says("ls /srv/models").split() == ["tiny-a.gguf", "tiny-b.gguf"]
    assert installed.run("systemctl cat hal0.service", check=False).returncode != 0
    assert installed.says("ls /opt/hal0") == "installed-packages.json"

    installed.run("cd hal0 && make uninstall PURGE=1", within=PLAY_S)

    assert left(installed, installation) == set()
    assert installed.run("getent passwd hal0; getent group hal0", check=False).stdout == ""
    assert installed.run("systemctl list-unit-files --no-legend 'hal0*' 'lemond*'", check=False).stdout == ""
    packages = installed.run("dpkg-query -W -f '${db:Status-Status}\\n' 'lemonade*' 'llama.cpp*'", check=False).stdout
    assert not {"installed", "config-files"} & set(packages.splitlines())
    assert installed.says("apt-mark showhold") == ""
