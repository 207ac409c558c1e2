"""The backends of a recipe, from `/v1/system-info` (lemonade-contract.md section 5), and which one is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.core.slot_type import Device

USABLE = frozenset({"installed", "update_available"})
TO_INSTALL = frozenset({"installable", "update_required"})

# The backends that serve a device; "system" is the distribution's llama.cpp.
SERVING: dict[Device, tuple[str, ...]] = {
    Device.GPU_ROCM: ("rocm", "system"),
    Device.GPU_VULKAN: ("vulkan", "system"),
    Device.CPU: ("cpu", "system"),
    Device.NPU: ("npu",),
}

NAMES = {
    "llamacpp": "llama.cpp",
    "whispercpp": "whisper.cpp",
    "sd-cpp": "stable-diffusion.cpp",
    "flm": "FastFlowLM",
    "kokoro": "Kokoro",
}


@dataclass(frozen=True)
class Backend:
    """One backend: its state in lemond's words, and lemond's remark on it."""

    name: str
    state: str
    message: str = ""


def read_backends(facts: Mapping[str, Any]) -> tuple[Backend, ...]:
    """The backends in one recipe of `/v1/system-info`, the recipe's default first."""
    found = [
        Backend(name, one.get("state", ""), one.get("message") or "") for name, one in facts.get("backends", {}).items()
    ]
    return tuple(sorted(found, key=lambda one: one.name != facts.get("default_backend")))


def serving(backends: Iterable[Backend], device: Device | None) -> list[Backend]:
    """Those that serve the device; all of them where the recipe knows none for it, or no device is wanted."""
    known = list(backends)
    names = SERVING[device] if device else ()
    return [one for one in known if one.name in names] or known


def missing(recipe: str, backends: Iterable[Backend], device: Device | None) -> str | None:
    """What to do when nothing serves `device`; None when something does, or when nothing is known."""
    candidates = serving(backends, device)
    if not candidates or any(one.state in USABLE for one in candidates):
        return None
    wanted = next((one for one in candidates if one.state in TO_INSTALL), None)
    name = NAMES.get(recipe, recipe)
    if wanted is None:
        reason = candidates[0].message or "it is not supported"
        return f"{name} ({candidates[0].name}) cannot be used on this machine: {reason}. Choose another device or model"
    call = f"POST /api/backends/{recipe}:{wanted.name}/install"
    return f"{name} ({wanted.name}) is not installed. Install it: {call}, or the button"
