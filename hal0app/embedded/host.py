"""What the engine can truthfully say about its machine (GET /v1/system-info, /v1/system-stats)."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

GIB = 1024**3


def _memory_kib() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def info(storage: Path, *, no_fetch_executables: bool) -> dict[str, Any]:
    """The keys of lemond's system-info; only the CPU and one backend, this engine's own, are there."""
    disk = shutil.disk_usage(storage)
    cores = os.cpu_count() or 1
    cpu = {"available": True, "cores": cores, "threads": cores, "family": platform.machine(), "name": _processor()}
    npu = {"available": False, "error": "Not looked for by the embedded engine", "family": "", "name": ""}
    system = {"action": "", "devices": ["cpu"], "message": "hal0's embedded llama.cpp", "state": "installed"}
    return {
        "OS Version": f"Linux-{platform.release()}",
        "Physical Memory": f"{_memory_kib()['MemTotal'] / 1024**2:.2f} GB",
        "Processor": _processor(),
        "cloud": {"providers": []},
        "devices": {"amd_gpu": [], "amd_npu": npu, "cpu": cpu, "nvidia_gpu": []},
        "model_storage": {
            "free_bytes": disk.free,
            "path": str(storage),
            "total_bytes": disk.total,
            "used_bytes": disk.used,
        },
        "no_fetch_executables": no_fetch_executables,
        "recipes": {"llamacpp": {"backends": {"system": system}, "default_backend": "system"}},
        "unavailable_recipes": [],
    }


def stats() -> dict[str, Any]:
    """Memory in use in GB; null for what is not measured."""
    memory = _memory_kib()
    used = (memory["MemTotal"] - memory["MemAvailable"]) / 1024**2
    return {"cpu_percent": None, "gpu_percent": None, "memory_gb": round(used, 1), "npu_percent": None, "vram_gb": None}
