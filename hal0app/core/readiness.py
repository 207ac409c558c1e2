"""Whether a host can run hal0 and its models well: facts in, findings out, each with its evidence and the fix.

Standard library only: the installer runs this on hosts that have nothing of hal0 yet. The facts of lemond's own
needs are lemonade-contract.md section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hal0app.core import tuning

GIB = 1 << 30
PAGE = 4096
UNLIMITED = -1
STRIX_HALO = "gfx1151"
GPU_KERNEL, ROCM_KERNEL, NPU_KERNEL = (6, 11), (6, 18, 4), (7, 0)
NPU_FIRMWARE = (1, 1)
LEAST_DISK_BYTES, LITTLE_DISK_BYTES = 2 * GIB, 20 * GIB
LEAST_PROGRAM_BYTES = GIB // 4  # a release, with room for the next one
LEAST_MEMORY_BYTES = 4 * GIB
FAMILIES = ("debian", "ubuntu", "fedora", "rhel")
WITH_LEMONADE = ("forky", "sid", "duke")
WITH_PPA = ("noble", "questing", "resolute")  # what Lemonade's makers build packages for


@dataclass(frozen=True)
class Finding:
    """`level` is ok, warn or fail; `evidence` what was seen, `fix` a command or what to do; both may be empty."""

    level: str
    what: str
    evidence: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Port:
    """A TCP port that is wanted, and whether something other than its own unit listens on it."""

    number: int
    name: str
    setting: str
    taken: bool = False


@dataclass(frozen=True)
class Host:
    """What a host is. Sizes in bytes; versions as numbers; None and empty mean that it is not there or not told.

    `loader`: who writes the kernel's command line (grub, grubby, systemd-boot). `tuned`: what was added to it for hal0.
    `memlock`: how much memory lemond may lock, UNLIMITED or bytes. `noexec`: where /opt is mounted, if no program may
    run from there. `person`: the user id of an account hal0 that the installer did not make. `other_make`: a unit of
    another program called hal0.
    """

    os: str = ""
    family: tuple[str, ...] = ()
    codename: str = ""
    python: tuple[int, ...] = (3, 11)
    kernel: tuple[int, ...] = ()
    cmdline: tuple[str, ...] = ()
    memory: int = 0
    disk_free: int = 0
    program_free: int | None = None  # where releases go, /opt
    noexec: str = ""
    gpu: str = ""
    gtt: int | None = None
    cwsr: bool = False
    kfd: bool = False
    render: bool = False
    amdgpu_dkms: bool = False
    npu: bool = False
    amdxdna: bool = False
    accel: bool = False
    npu_firmware: tuple[int, ...] = ()
    groups: frozenset[str] = frozenset()
    ports: tuple[Port, ...] = ()
    lemonade: bool = False
    strays: tuple[int, ...] = ()
    layouts: tuple[str, ...] = ()
    loader: str = ""
    tuned: tuple[str, ...] = ()
    memlock: int | None = None
    person: int | None = None
    other_make: str = ""


Check = Callable[["Host"], Iterator[Finding]]


def findings(host: Host) -> list[Finding]:
    """Everything there is to say before an installation, in a fixed order."""
    return [finding for check in (*SOFTWARE, *HARDWARE) for finding in check(host)]


def hardware(host: Host) -> list[Finding]:
    """What there is to say of the machine itself, at any time."""
    return [finding for check in HARDWARE for finding in check(host)]


def text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "unknown"


def _os(host: Host) -> Iterator[Finding]:
    if not set(host.family) & set(FAMILIES):
        yield Finding("fail", "this distribution is not supported", host.os, "use Debian, Ubuntu or Fedora")
    elif host.lemonade:
        yield Finding("ok", "Lemonade is there, or comes by itself", host.os)
    elif host.codename in WITH_LEMONADE:
        yield Finding("ok", "the distribution carries Lemonade", host.os)
    elif host.codename in WITH_PPA:
        yield Finding("ok", "Lemonade comes from its makers' packages (ppa:lemonade-team/stable)", host.os)
    else:
        yield Finding(
            "fail", "there is no Lemonade", host.os, "install it (https://lemonade-server.ai), then run again"
        )


def _python(host: Host) -> Iterator[Finding]:
    good = host.python >= (3, 11)
    yield Finding("ok" if good else "fail", "Python", text(host.python), "" if good else "Python 3.11 or newer")


def _memory(host: Host) -> Iterator[Finding]:
    seen = f"{host.memory / GIB:.1f} GiB"
    if host.memory < LEAST_MEMORY_BYTES:
        yield Finding("warn", "little memory: only the smallest models fit", seen)
    else:
        yield Finding("ok", "memory", seen)


def _disk(host: Host) -> Iterator[Finding]:
    seen = f"{host.disk_free / GIB:.1f} GiB free"
    if host.disk_free < LEAST_DISK_BYTES:
        yield Finding("fail", "no room on the disk", seen, "free 2 GiB at least, and as much as the models need")
    elif host.disk_free < LITTLE_DISK_BYTES:
        yield Finding(
            "warn", "little room for models on the disk", seen, "keep models elsewhere: hal0_extra_models_dir"
        )
    else:
        yield Finding("ok", "disk", seen)


def _program_disk(host: Host) -> Iterator[Finding]:
    if host.program_free is not None and host.program_free < LEAST_PROGRAM_BYTES:
        seen = f"{host.program_free >> 20} MiB free in /opt"
        yield Finding(
            "fail", "no room for hal0 itself on the disk", seen, f"free {LEAST_PROGRAM_BYTES >> 20} MiB there"
        )


def _program_mount(host: Host) -> Iterator[Finding]:
    if host.noexec:
        seen = f"{host.noexec} is mounted noexec"
        fix = f"mount -o remount,exec {host.noexec}, and without noexec in /etc/fstab"
        yield Finding("fail", "hal0 is installed in /opt, and no program may run from there", seen, fix)


def _account(host: Host) -> Iterator[Finding]:
    if host.person is not None:
        fix = "leave it so, or rename that account: usermod --login"
        seen = f"user id {host.person}"
        yield Finding(
            "warn", "there is a user hal0 already: hal0 runs as it, and an uninstallation leaves it", seen, fix
        )


def _other_make(host: Host) -> Iterator[Finding]:
    if host.other_make:
        what = "another program called hal0 is installed, and has the same folders"
        fix = "take it off with its own uninstaller, and move its /etc/hal0, /opt/hal0 and /var/lib/hal0 away"
        yield Finding("fail", what, host.other_make, fix)


def _ports(host: Host) -> Iterator[Finding]:
    for port in host.ports:
        if port.taken:
            fix = f"ss -ltnp 'sport = :{port.number}' tells which; stop it, or SET=\"{port.setting}=ANOTHER\""
            yield Finding("fail", f"another program has {port.name}'s port", str(port.number), fix)
        else:
            yield Finding("ok", f"{port.name}'s port is free or its own", str(port.number))


def _gpu(host: Host) -> Iterator[Finding]:
    if not host.gpu and not host.render:
        yield Finding("warn", "no GPU: models run on the processor")
        return
    yield Finding("ok", "GPU", host.gpu or "of a kind the kernel does not name")
    if host.kernel < GPU_KERNEL:
        fix = "a newer kernel; on Ubuntu 24.04: apt-get install linux-oem-24.04"
        yield Finding("warn", "an old kernel for this GPU", text(host.kernel), fix)
    if not host.render:
        yield Finding("warn", "no /dev/dri/renderD*: nothing can use the GPU", "", "dmesg | grep amdgpu tells why")
    missing = {"render", "video"} - host.groups
    if missing:
        yield Finding("warn", "groups for the GPU are missing", ", ".join(sorted(missing)), "groupadd --system NAME")


def _rocm(host: Host) -> Iterator[Finding]:
    if host.gpu != STRIX_HALO:
        return
    if host.amdgpu_dkms:
        fix = "apt-get remove amdgpu-dkms; reboot"
        yield Finding("fail", "amdgpu-dkms is installed, with which ROCm fails on this GPU", "", fix)
    if not host.kfd:
        yield Finding("warn", "no /dev/kfd: ROCm cannot be used, Vulkan can")
    elif not host.cwsr:
        seen = f"kernel {text(host.kernel)}, no cwsr_size in /sys/class/kfd"
        fix = f"a kernel from {text(ROCM_KERNEL)} on; on Ubuntu 24.04: apt-get install linux-oem-24.04"
        yield Finding("warn", "Lemonade refuses ROCm on this kernel, Vulkan works", seen, fix)
    else:
        yield Finding("ok", "ROCm can be used", f"kernel {text(host.kernel)}, cwsr_size told")


def _gtt(host: Host) -> Iterator[Finding]:
    if host.gpu not in tuning.APUS or host.gtt is None or tuning.pending(host):
        return
    seen = f"{host.gtt / GIB:.0f} of {host.memory / GIB:.0f} GiB"
    if tuning.wants_memory(host):
        yield Finding("warn", "the GPU may use little of the memory", seen, _tune(host))
    else:
        yield Finding("ok", "memory for the GPU", seen)


def _command_line(host: Host) -> Iterator[Finding]:
    waiting, lacking = tuning.pending(host), tuning.missing(host)
    if waiting:
        yield Finding("warn", "parameters of the kernel wait for a reboot", " ".join(waiting), "reboot")
    elif "iommu=pt" in lacking and not tuning.wants_memory(host):
        yield Finding("warn", "the NPU's driver may refuse FastFlowLM", "no iommu=pt", _tune(host))


def _tune(host: Host) -> str:
    by_hand = f"add {' '.join(tuning.missing(host))} to the kernel's command line"
    return f'make install SET="hal0_tune_kernel=true"; or {by_hand}; then reboot'


def _npu(host: Host) -> Iterator[Finding]:
    if not host.npu:
        return
    if "amd_iommu=off" in host.cmdline:
        fix = "take amd_iommu=off out of GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub; reboot"
        yield Finding("fail", "the NPU cannot work without the IOMMU", "amd_iommu=off", fix)
    if not host.amdxdna:
        fix = f"a kernel from {text(NPU_KERNEL)} on, or the package amdxdna-dkms"
        yield Finding("warn", "the NPU has no driver (amdxdna)", f"kernel {text(host.kernel)}", fix)
    elif not host.accel:
        yield Finding("warn", "no /dev/accel/accel0: nothing can use the NPU", "", "dmesg | grep amdxdna tells why")
    elif host.npu_firmware and host.npu_firmware < NPU_FIRMWARE:
        fix = "linux-firmware 20260221 or newer; reboot"
        yield Finding("warn", "the NPU's firmware is too old", text(host.npu_firmware), fix)
    elif host.memlock not in (None, UNLIMITED):
        fix = "make install, which gives lemond LimitMEMLOCK=infinity"
        yield Finding("warn", "lemond may lock little memory, the NPU needs it", f"{host.memlock} bytes", fix)
    else:
        yield Finding("ok", "NPU", f"firmware {text(host.npu_firmware)}")


def _lemonade(host: Host) -> Iterator[Finding]:
    if host.strays:
        fix = "systemctl --user disable --now lemond, as that user"
        yield Finding("fail", "a lemond of another user runs", f"process {host.strays[0]}", fix)
    if len(host.layouts) > 1:
        fix = "lemond reads the first; move what you miss from the second"
        yield Finding("warn", "Lemonade's files lie in two places", ", ".join(host.layouts), fix)


SOFTWARE: tuple[Check, ...] = (
    _os,
    _python,
    _disk,
    _program_disk,
    _program_mount,
    _account,
    _other_make,
    _ports,
    _lemonade,
)
HARDWARE: tuple[Check, ...] = (_memory, _gpu, _rocm, _gtt, _command_line, _npu)
