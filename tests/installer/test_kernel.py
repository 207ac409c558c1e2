"""The kernel's command line, written through each boot loader and taken back; the loaders' programs only take notes."""

from __future__ import annotations

import json

import pytest

from tests.installer.host import Host
from tests.installer.plays import play
from tests.installer.test_install import changes

PROGRAMS = ("update-grub", "grubby", "kernel-install")
NOTES = "/root/loader.log"
FIRST, SECOND = ["iommu=pt", "ttm.pages_limit=100"], ["iommu=pt", "ttm.pages_limit=200"]


@pytest.fixture(scope="module")
def noted(lasting: Host) -> Host:
    """A host whose boot loaders' programs write down how they are called."""
    for program in PROGRAMS:
        lasting.write(f"/usr/local/sbin/{program}", f'#!/bin/sh\necho {program} "$@" >> {NOTES}\n')
        lasting.run(f"chmod +x /usr/local/sbin/{program}")
    return lasting


def kernel(host: Host, tasks: str, loader: str, parameters: list[str], tuned: list[str]) -> list[str]:
    """Run one file of the role `host` for a machine of this kind; the tasks that changed something."""
    return changes(play(host, "host", tasks, hal0_machine=machine(loader, parameters, tuned))[1])


def machine(loader: str, parameters: list[str], tuned: list[str]) -> dict[str, object]:
    return {"loader": loader, "parameters": parameters, "tuned": tuned}


def notes(host: Host) -> list[str]:
    """How the loaders' programs were called since the last look."""
    return host.run(f"cat {NOTES}; rm -f {NOTES}", check=False).stdout.splitlines()


def written(host: Host) -> dict[str, object]:
    told: dict[str, object] = json.loads(host.says("cat /opt/hal0/kernel.json"))
    return told


def test_grub_gets_a_drop_in_and_loses_it(noted: Host) -> None:
    """A menu that could not be written is written by the next run."""
    noted.run("mv /usr/local/sbin/update-grub kept && ln -s /bin/false /usr/local/sbin/update-grub")
    assert play(noted, "host", "kernel", check=False, hal0_machine=machine("grub", FIRST, []))[0] != 0
    noted.run("mv kept /usr/local/sbin/update-grub")
    assert kernel(noted, "kernel", "grub", FIRST, [])
    assert notes(noted) == ["update-grub"]
    line = noted.says("grep -v '^#' /etc/default/grub.d/50-hal0.cfg")
    assert line == f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(FIRST)}"'
    assert written(noted)["parameters"] == FIRST
    assert kernel(noted, "kernel", "grub", FIRST, FIRST) == []

    kernel(noted, "untune", "grub", [], [])

    assert notes(noted) == ["update-grub"]
    assert (
        noted.run("cat /etc/default/grub.d/50-hal0.cfg /opt/hal0/kernel.json", check=False).stdout.count("No such") == 2
    )


def test_fedoras_grub_is_told_through_grubby(noted: Host) -> None:
    kernel(noted, "kernel", "grubby", FIRST, [])
    assert notes(noted) == [f"grubby --update-kernel=ALL --args={' '.join(FIRST)}"]
    assert kernel(noted, "kernel", "grubby", FIRST, FIRST) == []

    kernel(noted, "kernel", "grubby", SECOND, FIRST)
    assert notes(noted)[0] == f"grubby --update-kernel=ALL --remove-args={' '.join(FIRST)}"

    kernel(noted, "untune", "grubby", [], [])
    assert notes(noted)[-1] == f"grubby --update-kernel=ALL --remove-args={' '.join(SECOND)}"


@pytest.mark.parametrize("before", ["root=/dev/sda1 quiet console=tty0 console=ttyS0\n", None])
def test_systemd_boot_reads_it_from_a_file(noted: Host, before: str | None) -> None:
    file = noted.root / "etc/kernel/cmdline"
    if before:
        noted.write("/etc/kernel/cmdline", before)
    kernel(noted, "kernel", "systemd-boot", FIRST, [])
    assert file.read_text().split()[:2] == FIRST
    assert "BOOT_IMAGE" not in file.read_text()
    assert kernel(noted, "kernel", "systemd-boot", FIRST, FIRST) == []
    kernel(noted, "kernel", "systemd-boot", SECOND, FIRST)
    assert file.read_text().split()[:2] == SECOND
    assert notes(noted) == ["kernel-install add-all"] * 2

    kernel(noted, "untune", "systemd-boot", [], [])

    assert (file.read_text() if file.exists() else None) == before
    assert notes(noted) == ["kernel-install add-all"]
    file.unlink(missing_ok=True)
