"""What the kernel's command line of an APU should say so that models have the memory and the NPU: facts in, words out.

AMD's guide for RDNA 3.5: a small carve-out, and TTM's limit of pages raised. Standard library only, as readiness.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal0app.core.readiness import Host

GIB = 1 << 30
PAGES_OF_GIB = GIB // 4096
APUS = ("gfx1150", "gfx1151", "gfx1152")
GTT_SHARE = 0.6  # of the memory: below this an APU leaves much of it unused for models
WANTED_SHARE = 0.85


def wanted_gib(memory: int) -> int:
    """How much of `memory` (bytes) the GPU should be able to use, in GiB."""
    return int(memory * WANTED_SHARE) // GIB


def wants_memory(host: Host) -> bool:
    """Whether the GPU may use much less of the memory than models could."""
    return host.gpu in APUS and host.gtt is not None and host.gtt < GTT_SHARE * host.memory


def missing(host: Host) -> tuple[str, ...]:
    """The parameters to add, as they stand on a command line."""
    found: list[str] = []
    if wants_memory(host):
        pages = wanted_gib(host.memory) * PAGES_OF_GIB
        found += [f"ttm.pages_limit={pages}", f"ttm.page_pool_size={pages}"]
    if host.npu and host.gpu in APUS and not _named("iommu", host.cmdline):
        found.append("iommu=pt")  # FastFlowLM binds its memory to the device; translated by default that is refused
    return tuple(found)


def wanted(host: Host) -> list[str]:
    """What should be written for hal0: what is missing, and what was written before and is in force."""
    new = missing(host)
    return sorted([*new, *(one for one in host.tuned if not _named(one.partition("=")[0], new))])


def pending(host: Host) -> tuple[str, ...]:
    """The parameters that were written for hal0 and are not in force: the host has not been booted since."""
    return tuple(one for one in host.tuned if one not in host.cmdline)


def _named(name: str, parameters: Iterable[str]) -> bool:
    return any(one.partition("=")[0] == name for one in parameters)
