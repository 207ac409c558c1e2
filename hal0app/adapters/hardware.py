"""The machine's facts from /proc and /sys, which need no privilege. What cannot be read is not known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hal0app.adapters.memory import MemoryFiles
from hal0app.core.hardware import Gpu, Hardware

CPU_SENSORS = ("k10temp", "zenpower", "coretemp", "cpu_thermal")
SENSORS = ("gpu_busy_percent", "hwmon/hwmon*/temp1_input", "hwmon/hwmon*/power1_*", "mem_info_*")
MILLI, MICRO = 1000, 1_000_000
IDLE_FIELDS = (3, 4)  # idle and iowait in the line `cpu` of /proc/stat


class HardwareFiles:
    """Reads below `root`; nothing is raised."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._memory = MemoryFiles(root)

    def look(self) -> Hardware:
        """The machine as it is now."""
        names = [_after_colon(line) for line in _lines(self._root / "proc/cpuinfo") if line.startswith("model name")]
        return Hardware(
            cpu_name=names[0] if names else None,
            cpu_threads=len(names) or None,
            cpu_temperature_c=self._cpu_temperature(),
            cpu_ticks=self._cpu_ticks(),
            gpus=tuple(map(_gpu, self._cards())),
            npu=self._npu(),
            denied=tuple(_denied(self._root, [*self._cards(), *self._accelerators()])),
            memory=self._memory.host(),
        )

    def _cpu_ticks(self) -> tuple[int, int] | None:
        first = next(iter(_lines(self._root / "proc/stat")), "").split()
        if not first or first[0] != "cpu" or not all(word.isdigit() for word in first[1:]):
            return None
        ticks = [int(word) for word in first[1:9]]
        return sum(ticks) - sum(ticks[place] for place in IDLE_FIELDS if place < len(ticks)), sum(ticks)

    def _cpu_temperature(self) -> int | None:
        for folder in sorted((self._root / "sys/class/hwmon").glob("hwmon*")):
            if _text(folder / "name") in CPU_SENSORS:
                return _number(folder / "temp1_input", MILLI)
        return None

    def _cards(self) -> Iterable[Path]:
        folders = sorted((self._root / "sys/class/drm").glob("card[0-9]*/device"))
        return [folder for folder in folders if "-" not in folder.parent.name]

    def _accelerators(self) -> Iterable[Path]:
        return sorted((self._root / "sys/class/accel").glob("accel*/device"))

    def _npu(self) -> str | None:
        for folder in self._accelerators():
            name = _text(folder / "vbnv") or _uevent(folder).get("DRIVER", "")
            if name:
                return name
        return None


def _denied(root: Path, folders: Iterable[Path]) -> Iterator[str]:
    """What says how a card fares and may not be read, as a path of the machine."""
    for folder in folders:
        sensors = [path for name in SENSORS for path in sorted(folder.glob(name))]
        yield from (f"/{path.relative_to(root)}" for path in sensors if not os.access(path, os.R_OK))


def _gpu(folder: Path) -> Gpu:
    facts = _uevent(folder)
    ids = " ".join(filter(None, (facts.get("DRIVER"), facts.get("PCI_ID"))))
    sensors = next(iter(sorted(folder.glob("hwmon/hwmon*"))), folder)
    power = _number(sensors / "power1_average", MICRO)
    return Gpu(
        name=_text(folder / "product_name") or ids or "GPU",
        busy_percent=_number(folder / "gpu_busy_percent", 1),
        temperature_c=_number(sensors / "temp1_input", MILLI),
        power_w=power if power is not None else _number(sensors / "power1_input", MICRO),
    )


def _uevent(folder: Path) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in _lines(folder / "uevent"))


def _number(path: Path, unit: int) -> int | None:
    text = _text(path)
    return round(int(text) / unit) if text.removeprefix("-").isdigit() else None


def _after_colon(line: str) -> str:
    return line.partition(":")[2].strip()


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
