"""The newest part of the journal in memory, so that a page that shows history costs one small query."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hal0app.core.journal import Entry
from hal0app.services.ports import States

KEEP = 5000
BATCH = 500
PER_SLOT = 80


@dataclass(frozen=True)
class Told:
    """Entries, oldest first, and the newest `PER_SLOT` of each slot, newest first. The same object = nothing new."""

    entries: Sequence[Entry] = ()
    of_slot: Mapping[str, tuple[Entry, ...]] = field(default_factory=lambda: MappingProxyType({}))


NOTHING_TOLD = Told()


class Recall:
    """Reads what is there once, and then only what has come."""

    def __init__(self, store: States) -> None:
        self._store = store
        self._reading = threading.Lock()
        self._told: Told | None = None

    def told(self) -> Told:
        """The newest `KEEP` entries of the journal, as they are now."""
        with self._reading:
            if self._told is None:
                self._told = _sorted(self._store.journal(limit=KEEP, newest=True))
            while news := self._store.journal(self._last, BATCH):
                self._told = _sorted([*self._told.entries, *news][-KEEP:])
            return self._told

    @property
    def _last(self) -> int:
        return (self._told.entries[-1].id or 0) if self._told and self._told.entries else 0


def _sorted(entries: Sequence[Entry]) -> Told:
    of_slot: dict[str, list[Entry]] = {}
    for entry in reversed(entries):
        if entry.slot is not None and len(mine := of_slot.setdefault(entry.slot, [])) < PER_SLOT:
            mine.append(entry)
    return Told(tuple(entries), {name: tuple(mine) for name, mine in of_slot.items()})
