"""The machine's facts out of files like those of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal0app.adapters.hardware import HardwareFiles
from hal0app.core.hardware import Gpu, Hardware, busy_percent

CARD = "sys/class/drm/card1/device"
FILES = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD RYZEN AI MAX+ 395\n" * 2,
    "proc/stat": "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4\n",
    "proc/meminfo": "MemTotal:  1000 kB\nMemAvailable:  600 kB\n",
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "31000\n",
    "sys/class/hwmon/hwmon1/name": "k10temp\n",
    "sys/class/hwmon/hwmon1/temp1_input": "54600\n",
    f"{CARD}/uevent": "DRIVER=amdgpu\nPCI_ID=1002:1586\n",
    f"{CARD}/gpu_busy_percent": "37\n",
    f"{CARD}/hwmon/hwmon4/temp1_input": "48000\n",
    f"{CARD}/hwmon/hwmon4/power1_average": "21500000\n",
    "sys/class/drm/card1-DP-1/device/uevent": "DRIVER=none\n",
    "sys/class/accel/accel0/device/uevent": "DRIVER=amdxdna\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_what_is_there_is_told(root: Path) -> None:
    seen = HardwareFiles(root).look()
    assert (seen.cpu_name, seen.cpu_threads, seen.cpu_temperature_c) == ("AMD RYZEN AI MAX+ 395", 2, 55)
    assert seen.gpus == (Gpu("amdgpu 1002:1586", 37, 48, 22),)
    assert (seen.npu, seen.memory.total, seen.memory.available) == ("amdxdna", 1_024_000, 614_400)
    assert seen.cpu_ticks == (150, 1000)


def test_what_is_missing_is_not_known_and_never_zero(tmp_path: Path) -> None:
    assert HardwareFiles(tmp_path).look() == Hardware()


@pytest.mark.parametrize("text", ["", "cpu", "cpu x y", "intr 1 2"])
def test_a_stat_that_is_none_gives_no_ticks(root: Path, text: str) -> None:
    (root / "proc/stat").write_text(text)
    assert not (HardwareFiles(root).look().cpu_ticks or (0,))[-1]


def test_this_machine_can_be_read() -> None:
    assert (HardwareFiles().look().memory.total or 0) > 0


def test_two_looks_make_a_percentage() -> None:
    first, second = Hardware(cpu_ticks=(100, 1000)), Hardware(cpu_ticks=(150, 1200))
    assert busy_percent(first, second) == 25
    assert busy_percent(second, second) is None
    assert busy_percent(Hardware(), second) is None


def test_sensors_that_may_not_be_read_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HardwareFiles(root).look().denied == ()
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "gpu_busy_percent")  # root may read everything
    assert HardwareFiles(root).look().denied == (f"/{CARD}/gpu_busy_percent",)
