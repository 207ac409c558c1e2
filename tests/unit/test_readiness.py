"""core/readiness over adapters/host_tree: what the preflight says of hosts, each a made-up tree of files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hal0app.adapters import host_tree
from hal0app.cli.preflight import machine, ports, told
from hal0app.core.readiness import Finding, Port, findings

GIB = 1 << 30
Tree = Mapping[str, str]

LISTENS = (
    "  sl  local_address rem_address   st\n   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000\n"
)


def system(id_: str, codename: str, kernel: str, like: str = "") -> dict[str, str]:
    """The files that every host has: 128 GiB of memory, groups, no listener."""
    return {
        "etc/os-release": f'PRETTY_NAME="{id_} {codename}"\nID={id_}\nID_LIKE="{like}"\nVERSION_CODENAME={codename}\n',
        "etc/group": "root:x:0:\nrender:x:104:\nvideo:x:44:\n",
        "proc/sys/kernel/osrelease": f"{kernel}\n",
        "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p2 ro quiet iommu=pt\n",
        "proc/meminfo": "MemTotal:       131072000 kB\nMemFree: 1 kB\n",
        "proc/net/tcp": LISTENS.format(address="0100007F", port=22),
    }


def strix_halo(cwsr: bool = True, gtt_gib: int = 110, npu: bool = True) -> dict[str, str]:
    """What the kernel shows of a Ryzen AI Max: GPU, KFD, NPU."""
    told = "gfx_target_version 110501\nsimd_count 80\n" + ("cwsr_size 1\nctl_stack_size 1\n" if cwsr else "")
    found = {
        "sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 32\ngfx_target_version 0\n",
        "sys/class/kfd/kfd/topology/nodes/1/properties": told,
        "sys/module/ttm/parameters/pages_limit": f"{gtt_gib * GIB // 4096}\n",
        "dev/kfd": "",
        "dev/dri/renderD128": "",
    }
    if npu:
        found |= {
            "sys/bus/pci/devices/0000:c5:00.1/vendor": "0x1022\n",
            "sys/bus/pci/devices/0000:c5:00.1/device": "0x17f0\n",
            "sys/module/amdxdna/refcnt": "0\n",
            "sys/class/accel/accel0/device/fw_version": "1.1.2.65\n",
            "dev/accel/accel0": "",
        }
    return found


LEMOND = {"usr/lib/systemd/system/lemond.service": "[Unit]\n"}
NOBLE = system("ubuntu", "noble", "6.14.0-33-generic", "debian") | LEMOND
FORKY = system("debian", "forky", "7.0.4-amd64")
UBUNTU_2604 = system("ubuntu", "resolute", "7.0.0-12-generic", "debian") | LEMOND
FEDORA = system("fedora", "", "6.18.9-200.fc43.x86_64") | LEMOND
GOOD = FORKY | strix_halo()

Look = Callable[[Tree], list[Finding]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """The findings of the host that a mapping of files describes; its disk is this machine's."""

    def at(files: Tree) -> list[Finding]:
        for name, content in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return [one for one in findings(host_tree.read(tmp_path, ports(8080, 13305))) if "disk" not in one.what]

    return at


def wrong(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in found if one.level != "ok"]


@pytest.mark.parametrize(
    "files", [GOOD, UBUNTU_2604 | strix_halo(), FEDORA | strix_halo()], ids=["forky", "26.04", "f43"]
)
def test_nothing_is_wrong_with_a_strix_halo_on_a_new_kernel(look: Look, files: Tree) -> None:
    found = look(files)
    assert wrong(found) == []
    assert {"GPU", "NPU", "ROCm can be used", "memory for the GPU"} <= {one.what for one in found}


def test_ubuntu_24_04_runs_vulkan_and_is_told_the_kernel_for_rocm(look: Look) -> None:
    found = look(NOBLE | strix_halo(cwsr=False, npu=False))
    assert wrong(found) == [("warn", "Lemonade refuses ROCm on this kernel, Vulkan works")]
    [rocm] = [one for one in found if one.level == "warn"]
    assert "linux-oem-24.04" in rocm.fix


def test_a_kernel_without_the_npu_driver_is_told(look: Look) -> None:
    files = dict(NOBLE | strix_halo())
    for name in ("sys/module/amdxdna/refcnt", "dev/accel/accel0", "sys/class/accel/accel0/device/fw_version"):
        del files[name]
    assert wrong(look(files)) == [("warn", "the NPU has no driver (amdxdna)")]


def test_an_old_kernel_is_told(look: Look) -> None:
    old = GOOD | {"proc/sys/kernel/osrelease": "6.1.0-38-amd64\n"}
    assert ("warn", "an old kernel for this GPU") in wrong(look(old))


def test_no_gpu_is_no_failure(look: Look) -> None:
    assert wrong(look(FORKY)) == [("warn", "no GPU: models run on the processor")]


def test_the_iommu_turned_off_stops_an_installation_where_there_is_an_npu(look: Look) -> None:
    found = look(GOOD | {"proc/cmdline": "root=/dev/sda1 amd_iommu=off iommu=pt quiet\n"})
    assert wrong(found) == [("fail", "the NPU cannot work without the IOMMU")]
    assert "/etc/default/grub" in next(one for one in found if one.level == "fail").fix


def test_the_iommu_turned_off_is_nothing_to_a_host_without_an_npu(look: Look) -> None:
    assert wrong(look(FORKY | strix_halo(npu=False) | {"proc/cmdline": "amd_iommu=off\n"})) == []


def test_amdgpu_dkms_stops_an_installation(look: Look) -> None:
    found = look(GOOD | {"var/lib/dkms/amdgpu/6.16/source/dkms.conf": ""})
    assert wrong(found) == [("fail", "amdgpu-dkms is installed, with which ROCm fails on this GPU")]


def test_a_small_gtt_is_told_with_the_number_to_set(look: Look) -> None:
    found = look(FORKY | strix_halo(gtt_gib=62))
    assert wrong(found) == [("warn", "the GPU may use little of the memory")]
    [gtt] = [one for one in found if one.level == "warn"]
    assert gtt.evidence == "62 of 125 GiB"
    assert "ttm.pages_limit=27787264" in gtt.fix
    assert 'SET="hal0_tune_kernel=true"' in gtt.fix


def machine_of(tmp_path: Path, files: Tree) -> dict[str, object]:
    """What the roles of the installer are told of a host."""
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return machine(host_tree.read(tmp_path, ()))


TTM = ["ttm.page_pool_size=27787264", "ttm.pages_limit=27787264"]  # 106 GiB of 125
BOOTED = {"proc/cmdline": " ".join(["root=/dev/sda1", "iommu=pt", *TTM])}
BARE = {"proc/cmdline": "root=/dev/sda1 quiet\n"}
SMALL = strix_halo(gtt_gib=62)


@pytest.mark.parametrize(
    ("files", "parameters"),
    [
        (FORKY | SMALL | BARE, ["iommu=pt", *TTM]),
        (NOBLE | strix_halo(gtt_gib=62, npu=False), TTM),
        (FEDORA | SMALL | {"proc/cmdline": "root=/dev/sda1 iommu=pt"}, TTM),
        (UBUNTU_2604 | strix_halo() | BARE, ["iommu=pt"]),
        (GOOD | BOOTED, []),
        (FORKY, []),
        (FORKY | SMALL | {"sys/class/kfd/kfd/topology/nodes/1/properties": "gfx_target_version 110000\n"}, []),
    ],
    ids=["forky", "24.04 without NPU", "f43 with iommu", "26.04 with memory", "tuned", "no GPU", "another GPU"],
)
def test_an_apu_gets_the_parameters_that_it_lacks(tmp_path: Path, files: Tree, parameters: list[str]) -> None:
    assert machine_of(tmp_path, files)["parameters"] == parameters


def test_what_was_written_stays_written_once_it_is_in_force(tmp_path: Path) -> None:
    record = {"opt/hal0/kernel.json": json.dumps({"parameters": ["iommu=pt", *TTM]})}
    assert machine_of(tmp_path, GOOD | BOOTED | record)["parameters"] == ["iommu=pt", *TTM]


def test_other_memory_gets_another_limit(tmp_path: Path) -> None:
    record = {"opt/hal0/kernel.json": json.dumps({"parameters": ["iommu=pt", "ttm.pages_limit=1"]})}
    assert machine_of(tmp_path, FORKY | SMALL | BARE | record)["parameters"] == ["iommu=pt", *TTM]


@pytest.mark.parametrize(
    ("file", "loader"),
    [
        ("usr/sbin/update-grub", "grub"),
        ("usr/sbin/grubby", "grubby"),
        ("efi/loader/loader.conf", "systemd-boot"),
        ("srv/nothing", ""),
    ],
)
def test_the_boot_loader_is_told(tmp_path: Path, file: str, loader: str) -> None:
    assert machine_of(tmp_path, FORKY | {file: ""})["loader"] == loader


def test_a_command_line_without_passthrough_is_told_where_there_is_an_npu(look: Look) -> None:
    assert wrong(look(FORKY | strix_halo(npu=False) | BARE)) == []
    assert wrong(look(GOOD | BARE)) == [("warn", "the NPU's driver may refuse FastFlowLM")]


def test_parameters_that_wait_for_a_reboot_are_told_and_nothing_else_of_them(look: Look) -> None:
    record = {"opt/hal0/kernel.json": json.dumps({"parameters": TTM})}
    found = look(FORKY | strix_halo(gtt_gib=62, npu=False) | record)
    assert wrong(found) == [("warn", "parameters of the kernel wait for a reboot")]
    [waiting] = [one for one in found if one.level == "warn"]
    assert (waiting.evidence, waiting.fix) == (" ".join(TTM), "reboot")


def test_a_record_that_is_none_is_no_crash(look: Look) -> None:
    assert wrong(look(GOOD | {"opt/hal0/kernel.json": "[]"})) == []


def lemond(memlock: str) -> dict[str, str]:
    limits = f"Limit             Soft Limit     Hard Limit     Units\nMax locked memory {memlock} bytes\n"
    return {"proc/815/comm": "lemond\n", "proc/815/status": "Uid:\t993\t993\t993\t993\n", "proc/815/limits": limits}


def test_a_lemond_that_may_lock_little_memory_is_told_where_there_is_an_npu(look: Look) -> None:
    found = look(GOOD | lemond("8388608              8388608"))
    assert wrong(found) == [("warn", "lemond may lock little memory, the NPU needs it")]
    assert "LimitMEMLOCK=infinity" in next(one.fix for one in found if one.level == "warn")


def test_a_lemond_without_that_limit_is_as_it_should_be(look: Look) -> None:
    assert wrong(look(GOOD | lemond("unlimited            unlimited"))) == []


def test_old_firmware_of_the_npu_is_told(look: Look) -> None:
    old = GOOD | {"sys/class/accel/accel0/device/fw_version": "1.0.0.63\n"}
    assert wrong(look(old)) == [("warn", "the NPU's firmware is too old")]


@pytest.mark.parametrize("table", ["proc/net/tcp", "proc/net/tcp6"])
@pytest.mark.parametrize(("port", "setting"), [(8080, "hal0_port"), (13305, "hal0_lemonade_port")])
def test_an_occupied_port_stops_an_installation(look: Look, table: str, port: int, setting: str) -> None:
    found = look(GOOD | {table: LISTENS.format(address="00000000", port=port)})
    [failure] = [one for one in found if one.level == "fail"]
    assert failure.evidence == str(port)
    assert setting in failure.fix


def test_a_port_of_hal0_itself_is_not_occupied(look: Look) -> None:
    own = {"etc/systemd/system/hal0.service": "", "proc/net/tcp": LISTENS.format(address="00000000", port=8080)}
    assert wrong(look(GOOD | own)) == []


OWN = {
    "hal0": ("etc/systemd/system/hal0.service", "etc/systemd/system/hal0.socket.d/10-address.conf"),
    "Lemonade": ("usr/lib/systemd/system/lemond.service", "etc/lemonade/hal0-defaults.json"),
    "the proxy": ("etc/systemd/system/hal0-proxy.service", "etc/hal0-proxy/Caddyfile"),
    "Open WebUI": ("etc/containers/systemd/hal0-openwebui.container",) * 2,
}
TELLS = {
    "hal0": "[Socket]\nListenStream=\nListenStream=[::]:{}\n",
    "Lemonade": '{{\n    "host": "127.0.0.1",\n    "port": {}\n}}\n',
    "the proxy": "https://box:{0}, https://localhost:{0} {{\n",
    "Open WebUI": "PublishPort=[::1]:{}:8080\n",
}


@pytest.mark.parametrize("port", ports(8080, 13305, 443, 3001), ids=lambda port: port.name)
@pytest.mark.parametrize("own", [True, False])
def test_a_port_that_an_installed_unit_is_moved_to_must_be_free(tmp_path: Path, port: Port, own: bool) -> None:
    """Or be the one that it listens on already."""
    unit, file = OWN[port.name]
    files = {unit: "", "proc/net/tcp": LISTENS.format(address="00000000", port=port.number)}
    files[file] = TELLS[port.name].format(port.number if own else 9)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = findings(host_tree.read(tmp_path, [port]))
    refused = [one.fix for one in found if one.what == f"another program has {port.name}'s port"]
    assert len(refused) == (0 if own else 1)
    assert all(port.setting in fix for fix in refused)


@pytest.mark.parametrize(("user", "level"), [(993, "ok"), (0, "fail")])
def test_hal0_may_move_to_a_port_of_its_slots(look: Look, user: int, level: str) -> None:
    listener = LISTENS.format(address="0100007F", port=8080).rstrip() + f" 00000000 {user} 0 4711 1\n"
    files = {"etc/passwd": "hal0:x:993:993::/var/lib/hal0:/bin/sh\n", "proc/net/tcp": listener}
    unit = {"etc/systemd/system/hal0.service": "", OWN["hal0"][1]: TELLS["hal0"].format(9)}
    [port] = [one for one in look(GOOD | files | unit) if one.evidence == "8080"]
    assert port.level == level


MOUNTS = "/dev/sda1 / ext4 rw,relatime 0 0\n/dev/sdb1 {} ext4 rw,nosuid{} 0 0\n"


@pytest.mark.parametrize("where", ["/opt", "/opt/hal0", "/"])
def test_an_opt_that_no_program_may_run_from_stops_an_installation(look: Look, where: str) -> None:
    [failure] = [one for one in look(GOOD | {"proc/mounts": MOUNTS.format(where, ",noexec")}) if one.level == "fail"]
    assert failure.evidence == f"{where} is mounted noexec"
    assert f"mount -o remount,exec {where}" in failure.fix


@pytest.mark.parametrize("mounts", [MOUNTS.format("/opt", ""), MOUNTS.format("/opt/hal", ",noexec"), "x\n\n"])
def test_another_mount_is_nothing_to_it(look: Look, mounts: str) -> None:
    assert wrong(look(GOOD | {"proc/mounts": mounts})) == []


def test_an_account_hal0_that_is_somebodys_is_told(look: Look) -> None:
    users = "root:x:0:0::/root:/bin/sh\nhal0:x:{}:{}::{}:/bin/sh\n"
    ours, theirs = users.format(993, 993, "/var/lib/hal0"), users.format(1000, 1000, "/home/hal0")
    assert wrong(look(GOOD | {"etc/passwd": ours})) == []
    [warning] = [one for one in look(GOOD | {"etc/passwd": theirs}) if one.level != "ok"]
    assert (warning.level, warning.evidence) == ("warn", "user id 1000")


def test_another_program_of_the_same_name_stops_an_installation(look: Look) -> None:
    found = look(GOOD | {"etc/systemd/system/hal0-api.service": "[Service]\n"})
    assert wrong(found) == [("fail", "another program called hal0 is installed, and has the same folders")]


@pytest.mark.parametrize("files", [system("alpine", "", "6.18.1"), system("nixos", "yarara", "7.0.1") | LEMOND])
def test_an_unsupported_distribution_stops_an_installation(look: Look, files: Tree) -> None:
    assert ("fail", "this distribution is not supported") in wrong(look(files))


def test_a_distribution_without_lemonade_stops_an_installation(look: Look) -> None:
    assert ("fail", "there is no Lemonade") in wrong(look(system("debian", "bookworm", "6.1.0")))


@pytest.mark.parametrize("codename", ["noble", "resolute"])
def test_an_ubuntu_without_lemonade_gets_it_from_its_makers(look: Look, codename: str) -> None:
    found = look(system("ubuntu", codename, "7.0.0", "debian"))
    assert ("ok", "Lemonade comes from its makers' packages (ppa:lemonade-team/stable)") in [
        (one.level, one.what) for one in found
    ]


def test_a_lemond_of_a_person_stops_an_installation(look: Look) -> None:
    stray = {"proc/4711/comm": "lemond\n", "proc/4711/status": "Name:\tlemond\nUid:\t1000\t1000\t1000\t1000\n"}
    service = {"proc/815/comm": "lemond\n", "proc/815/status": "Name:\tlemond\nUid:\t993\t993\t993\t993\n"}
    found = look(GOOD | stray | service)
    assert [one.evidence for one in found if one.level == "fail"] == ["process 4711"]


def test_files_of_lemonade_in_both_places_are_told(look: Look) -> None:
    both = {"var/lib/lemonade/config.json": "{}", "var/lib/lemonade/.cache/lemonade/config.json": "{}"}
    assert wrong(look(GOOD | both)) == [("warn", "Lemonade's files lie in two places")]


def test_a_full_disk_stops_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_tree.shutil, "disk_usage", lambda _: type("Usage", (), {"free": GIB})())
    [failure] = [one for one in findings(host_tree.read(tmp_path, ())) if one.level == "fail" and "disk" in one.what]
    assert failure.evidence == "1.0 GiB free"


def test_every_failure_has_a_fix(look: Look) -> None:
    bad = GOOD | {
        "proc/cmdline": "amd_iommu=off",
        "var/lib/dkms/amdgpu/x": "",
        "proc/net/tcp": "",
        "etc/os-release": "",
    }
    failures = [one for one in look(bad) if one.level == "fail"]
    assert len(failures) == 3
    assert all(one.fix for one in failures)
    assert sum(line.startswith("      -> ") for line in told(failures)) == 3


def test_a_tree_that_tells_nothing_is_no_crash(look: Look) -> None:
    look({"proc/meminfo": "\0", "etc/os-release": "=", "proc/net/tcp": "x\ny z\n", "proc/1/comm": "lemond\n"})


def test_it_runs_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv.pop(1)); import runpy; "]
    command[-1] += "runpy.run_module('hal0app.cli.preflight', run_name='__main__')"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([*command, str(root), "--root", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "this distribution is not supported" in done.stdout
