"""Where the memory that models live in has gone: a part for each model, what else is used, and what is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hal0app.core.memory import HostMemory

GPU, RAM = "GPU", "RAM"


@dataclass(frozen=True)
class Part:
    """A loaded model's memory in bytes; None is not known. What is not `measured` is an estimate.

    `mapped`: the part that the kernel counts as available, for it could read it from the file again.
    """

    name: str
    size: int | None
    measured: bool = False
    mapped: int = 0


@dataclass(frozen=True)
class MemoryMap:
    """Bytes. `where`: `GPU` (carve-out and GTT) or `RAM`. `unaccounted`: by how much estimates exceed what is used."""

    where: str
    total: int
    free: int
    parts: tuple[Part, ...]
    other: int
    unaccounted: int = 0

    @property
    def used(self) -> int:
        """All that is not free."""
        return self.total - self.free

    def percent(self, size: int) -> float:
        """A size as a part of the whole."""
        return round(100 * size / self.total, 2)


def memory_map(host: HostMemory, parts: Sequence[Part]) -> MemoryMap | None:
    """The map of the card with the most memory, else of the RAM; None when neither can be read."""
    found = _pool(host)
    if found is None:
        return None
    where, total, free = found
    free = max(free - sum(part.mapped for part in parts), 0) if where == RAM else free
    used = total - free
    known = sum(part.size or 0 for part in parts)
    return MemoryMap(where, total, free, tuple(parts), max(used - known, 0), max(known - used, 0))


def _pool(host: HostMemory) -> tuple[str, int, int] | None:
    if host.cards:
        card = max(host.cards, key=lambda one: one.vram_total + one.gtt_total)
        total = card.vram_total + card.gtt_total
        return GPU, total, total - card.vram_used - card.gtt_used
    if host.total and host.available is not None:
        return RAM, host.total, host.available
    return None
