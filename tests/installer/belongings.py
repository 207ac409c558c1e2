"""What belongs to a host, to be compared: files, users, groups, units and the packages with files in /etc."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.installer.host import Host

# What apt, systemd, Python's compiler and the scripts of the distribution's packages write, and the tests' own files.
NOISE = re.compile(
    r"/(var/(log|cache|tmp|lib/(apt|dpkg|systemd|pam|polkit-1|private|ucf|python))|usr/(lib/python3|share/python3)|tmp|root|srv)\b"
    r"|/etc/(\.pwd\.lock|passwd-|group-|shadow-|gshadow-|subuid-?|subgid-?|ld\.so\.cache|machine-id)$"
    r"|/etc/(ssh/ssh_host_|ssl/certs|rc\d\.d|alternatives)|__pycache__"
    r"|/usr/share/(mime|glib-2.0|fonts|icons)/|/(etc|usr/local/share)/(sgml|xml)\b|/etc/systemd/user/|/etc/\.updated$"
    r"|/usr/lib(64|32|x32)?/ld-linux|/usr/lib/locale|/var/\.updated$|/var/lib/(dbus|sgml-base|xml-core)/"
)


@dataclass(frozen=True)
class Belongings:
    """Each is a set of names; `files` are paths of the host's own disk, without noise."""

    files: frozenset[str]
    users: frozenset[str]
    groups: frozenset[str]
    units: frozenset[str]
    packages: frozenset[str]


def belongings(host: Host) -> Belongings:
    """What belongs to it now."""
    return Belongings(
        frozenset(one for one in files_of(host) if not NOISE.search(one)),
        _lines(host, "getent passwd | cut -d: -f1"),
        _lines(host, "getent group | cut -d: -f1"),
        _lines(host, "systemctl list-unit-files --no-legend | cut -d' ' -f1"),
        _lines(host, "dpkg-query -W -f '${db:Status-Status} ${Package}\\n'"),
    )


def files_of(host: Host) -> frozenset[str]:
    """Every file of the host's disk but the checkout."""
    return _lines(host, "find / -xdev -path /root/hal0 -prune -o -print")


def _lines(host: Host, command: str) -> frozenset[str]:
    return frozenset(host.run(command, within=120).stdout.splitlines())


def unowned(host: Host, before: frozenset[str]) -> set[str]:
    """Files that were not there before and that no package of the distribution owns."""
    new = {one for one in files_of(host) - before if not NOISE.search(one)}
    host.write("/root/new", "\n".join(sorted(new)))
    unknown = host.run("xargs -d '\\n' -a /root/new dpkg -S 2>&1 >/dev/null", check=False).stdout
    return {line.removeprefix("dpkg-query: no path found matching pattern ") for line in unknown.splitlines()}
