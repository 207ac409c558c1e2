"""Runs in a unit's sandbox on a host: tries what hal0 must not be able to do, and prints what it could as JSON."""

import ctypes
import json
import os
import socket
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH = 16


def write(path: str) -> None:
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def set_uid_bit() -> None:
    path = "/var/lib/hal0/probe"
    with open(path, "w"):
        os.chmod(path, 0o4755)
    os.unlink(path)


def capabilities() -> None:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(("CapEff", "CapPrm", "CapBnd")) and int(line.split()[1], 16):
                return
    raise PermissionError("none")


def packet_socket() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def foreign_secret() -> None:
    with open("/etc/lemonade/hal0.env") as file:
        file.read()


def see_others() -> None:
    if not os.path.exists("/proc/1/environ") or not os.listdir("/root"):
        raise PermissionError("hidden")


TRIES: dict[str, Callable[[], None]] = {
    "write /etc/hal0/slots": lambda: write("/etc/hal0/slots/probe.tmp"),
    "write /etc/hal0/conf.d": lambda: write("/etc/hal0/conf.d/probe.tmp"),
    "write /var/lib/hal0": lambda: write("/var/lib/hal0/probe"),
    "write /etc/hal0": lambda: write("/etc/hal0/probe"),
    "write /etc": lambda: write("/etc/probe"),
    "write /usr": lambda: write("/usr/probe"),
    "write /opt/hal0": lambda: write("/opt/hal0/probe"),
    "write /var": lambda: write("/var/probe"),
    "write a kernel setting": lambda: write("/proc/sys/vm/swappiness"),
    "read lemond's keys": foreign_secret,
    "see root's home": see_others,
    "open a raw socket": packet_socket,
    "have a capability": capabilities,
    "become root": lambda: os.setuid(0),
    "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    "trace another process": lambda: call("ptrace", PTRACE_ATTACH, 1, None, None),
    "make a set-uid file": set_uid_bit,
    "open a disk": lambda: os.close(os.open("/dev/vda", os.O_RDONLY)),
}


def works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps({name: works(attempt) for name, attempt in TRIES.items()}))
