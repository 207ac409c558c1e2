"""Facts about this host that need no privilege and no subprocess."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

UNITS = ("lemond.service", "lemonade-server.service")
UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
PROGRAMS = ("usr/bin/lemond", "usr/local/bin/lemond", "opt/lemonade/bin/lemond")


def lemond_boot(units: Path = Path("/run/systemd/units")) -> str | None:
    """What changes whenever systemd starts lemond anew: the unit's InvocationID, kept by systemd as a link's target.

    None where systemd does not run lemond.
    """
    for unit in UNITS:
        try:
            return str((units / f"invocation:{unit}").readlink())
        except OSError:
            continue
    return None


def starved(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processes of this one's control group the kernel killed for want of memory; 0 where it tells none."""
    try:
        lines = [line.split(":", 2) for line in groups.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0
    places = [root / "memory" / path.lstrip("/") / "memory.oom_control" for _, name, path in lines if name == "memory"]
    places += [root / path.lstrip("/") / "memory.events" for _, name, path in lines if not name]
    for place in places:
        with suppress(OSError):
            counts = dict(line.split() for line in place.read_text(encoding="ascii").splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """What changes whenever this machine starts; empty where the kernel does not tell."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def lemond_installed(root: Path = Path("/")) -> bool:
    """Whether this host has a lemond that could be started."""
    units = [f"{folder}/{unit}" for folder in UNIT_FOLDERS for unit in UNITS]
    return any((root / path).exists() for path in (*PROGRAMS, *units))
