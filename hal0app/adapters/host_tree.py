"""A host's facts, read from its files below a root: `/`, or a tree that was recorded. Standard library only."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hal0app.core.readiness import PAGE, UNLIMITED, Host, Port

LISTENS = "0A"
AMD = "0x1022"
NPU_DEVICES = ("0x1502", "0x17f0", "0x17f1")
LAYOUTS = ("var/lib/lemonade/config.json", "var/lib/lemonade/.cache/lemonade/config.json")
LEMOND_UNITS = ("usr/lib/systemd/system/lemond.service", "etc/systemd/system/lemond.service")
# What tells who writes the kernel's command line, the first that is there.
LOADERS = {
    "grubby": ("usr/sbin/grubby", "usr/bin/grubby"),
    "grub": ("usr/sbin/update-grub",),
    "systemd-boot": ("boot/loader/loader.conf", "boot/efi/loader/loader.conf", "efi/loader/loader.conf"),
}
TUNED = "opt/hal0/kernel.json"
# Who may listen already, by the name of the port: its own unit's files, and what says on which port it does.
OWN_UNITS = {
    "hal0": ("etc/systemd/system/hal0.service",),
    "Lemonade": LEMOND_UNITS,
    "the proxy": ("etc/systemd/system/hal0-proxy.service",),
    "Open WebUI": ("etc/containers/systemd/hal0-openwebui.container",),
}
OWN_PORTS = {
    "hal0": ("etc/systemd/system/hal0.socket.d/10-address.conf", r"ListenStream=\S*:(\d+)"),
    "Lemonade": ("etc/lemonade/hal0-defaults.json", r'"port": (\d+)'),
    "the proxy": ("etc/hal0-proxy/Caddyfile", r"https://\S+?:(\d+)"),
    "Open WebUI": ("etc/containers/systemd/hal0-openwebui.container", r"PublishPort=\S*:(\d+):\d+"),
}
OTHER_MAKE = ("etc/systemd/system/hal0-api.service", "usr/lib/systemd/system/hal0-api.service")
OWN_HOME = "/var/lib/hal0"  # of the user that the installer makes


def read(root: Path, ports: Sequence[Port], disk: Path | None = None) -> Host:
    """What the files below `root` say. `disk` is where models will lie; its free space is this machine's."""
    release = _assignments(root / "etc/os-release")
    meminfo = dict(re.findall(r"^(\w+): +(\d+)", _text(root / "proc/meminfo"), re.MULTILINE))
    listening = _listening(root)
    return Host(
        os=release.get("PRETTY_NAME", "unknown"),
        family=(release.get("ID", ""), *release.get("ID_LIKE", "").split()),
        codename=release.get("VERSION_CODENAME", ""),
        python=sys.version_info[:3],
        kernel=_version(_text(root / "proc/sys/kernel/osrelease")),
        cmdline=tuple(_text(root / "proc/cmdline").split()),
        memory=int(meminfo.get("MemTotal", 0)) * 1024,
        disk_free=_free(disk or root),
        program_free=_free(root / "opt/hal0"),
        noexec=_noexec(root, "/opt/hal0"),
        gpu=_gpu(root),
        gtt=_gtt(root),
        cwsr=any("cwsr_size" in _text(one) and "ctl_stack_size" in _text(one) for one in _kfd_nodes(root)),
        kfd=(root / "dev/kfd").exists(),
        render=any((root / "dev/dri").glob("renderD*")),
        amdgpu_dkms=(root / "var/lib/dkms/amdgpu").exists(),
        npu=any(_is_npu(device) for device in (root / "sys/bus/pci/devices").glob("*")),
        amdxdna=(root / "sys/module/amdxdna").exists(),
        accel=(root / "dev/accel/accel0").exists(),
        npu_firmware=_version(_text(root / "sys/class/accel/accel0/device/fw_version")),
        groups=frozenset(line.split(":")[0] for line in _text(root / "etc/group").splitlines()),
        ports=tuple(replace(one, taken=one.number in listening and not _is_own(root, one)) for one in ports),
        lemonade=any((root / unit).exists() for unit in LEMOND_UNITS),
        strays=tuple(_strays(root)),
        layouts=tuple(f"/{path}" for path in LAYOUTS if (root / path).exists()),
        loader=next((name for name, paths in LOADERS.items() if any((root / one).exists() for one in paths)), ""),
        tuned=_tuned(root),
        memlock=_memlock(root),
        person=_person(root),
        other_make=next((f"/{unit}" for unit in OTHER_MAKE if (root / unit).exists()), ""),
    )


def _is_own(root: Path, port: Port) -> bool:
    """Whether its own unit is there and listens on it, as far as its files tell."""
    file, pattern = OWN_PORTS[port.name]
    told = re.findall(pattern, _text(root / file))
    return any((root / unit).exists() for unit in OWN_UNITS[port.name]) and (not told or str(port.number) in told)


def _noexec(root: Path, path: str) -> str:
    """The mount that a path lies on, where it keeps programs from running; else empty."""
    mounts = [line.split() for line in _text(root / "proc/mounts").splitlines()]
    above = [one for one in mounts if len(one) > 3 and f"{path}/".startswith(f"{one[1].rstrip('/')}/")]
    nearest = max(reversed(above), key=lambda one: len(one[1]), default=None)  # of two at one place the later
    return nearest[1] if nearest and "noexec" in nearest[3].split(",") else ""


def _user(root: Path, name: str) -> list[str]:
    """The fields of a user in /etc/passwd; empty where there is none."""
    lines = (line.split(":") for line in _text(root / "etc/passwd").splitlines())
    return next((fields for fields in lines if fields[0] == name and len(fields) > 5), [])


def _person(root: Path) -> int | None:
    """The user id of an account hal0 with another home than the installer's has."""
    fields = _user(root, "hal0")
    return int(fields[2]) if fields and fields[5] != OWN_HOME else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _assignments(file: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in _text(file).splitlines())
    return {name: value.strip("\"'") for name, _, value in lines}


def _version(told: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", told.strip())
    return tuple(map(int, found.group().split("."))) if found else ()


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _kfd_nodes(root: Path) -> list[Path]:
    return sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties"))


def _gpu(root: Path) -> str:
    """The first GPU's name in the compiler's words, such as gfx1151; empty without a KFD."""
    for node in _kfd_nodes(root):
        found = re.search(r"^gfx_target_version (\d+)$", _text(node), re.MULTILINE)
        if found and (number := int(found.group(1))):
            return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"
    return ""


def _gtt(root: Path) -> int | None:
    """How much memory the GPU may use, in bytes: what TTM allows, else what the driver tells."""
    limit = _text(root / "sys/module/ttm/parameters/pages_limit").strip()
    if limit.isdigit():
        return int(limit) * PAGE
    told = [_text(one).strip() for one in (root / "sys/class/drm").glob("card*/device/mem_info_gtt_total")]
    return max((int(one) for one in told if one.isdigit()), default=None)


def _is_npu(device: Path) -> bool:
    return _text(device / "vendor").strip() == AMD and _text(device / "device").strip() in NPU_DEVICES


def _listening(root: Path) -> set[int]:
    """The ports that somebody but the user hal0 listens on, who has the slots' ports."""
    found, own = set(), _user(root, "hal0")[2:3]
    for table in ("proc/net/tcp", "proc/net/tcp6"):
        for line in _text(root / table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == LISTENS and (not own or fields[7:8] != own):
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def _tuned(root: Path) -> tuple[str, ...]:
    """The kernel's parameters that were written for hal0."""
    try:
        return tuple(map(str, json.loads(_text(root / TUNED))["parameters"]))
    except (ValueError, KeyError, TypeError):
        return ()


def _lemonds(root: Path) -> Iterator[tuple[Path, int]]:
    """The processes of lemond, each with its user id."""
    for process in (root / "proc").glob("[0-9]*"):
        if _text(process / "comm").strip() == "lemond":
            found = re.search(r"^Uid:\s+(\d+)", _text(process / "status"), re.MULTILINE)
            if found:
                yield process, int(found.group(1))


def _is_person(user: int) -> bool:
    return 1000 <= user < 60000


def _strays(root: Path) -> list[int]:
    """Processes of lemond that are not the system service's but a person's."""
    return sorted(int(process.name) for process, user in _lemonds(root) if _is_person(user))


def _memlock(root: Path) -> int | None:
    """How much memory the system's lemond may lock; None where none runs."""
    for process, user in _lemonds(root):
        told = re.search(r"^Max locked memory +(\S+)", _text(process / "limits"), re.MULTILINE)
        if told and not _is_person(user):
            return int(told.group(1)) if told.group(1).isdigit() else UNLIMITED
    return None
