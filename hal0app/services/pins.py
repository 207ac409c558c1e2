"""Which pins in lemond are hal0's own, kept over its restarts: only those may it take back."""

from __future__ import annotations

from collections.abc import Sequence

from hal0app.core.clock import Clock
from hal0app.core.keeping import own_pins
from hal0app.core.operation import Evidence
from hal0app.core.residency import Address, Observation
from hal0app.core.slot_config import SlotConfig
from hal0app.services.ports import States

KIND = "pinned"


class Pins:
    """`notice` is told every look and is quick; `write` stores what changed."""

    def __init__(self, store: States, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._stored = {one.model: _address(one) for one in store.proofs(KIND)}
        self.own = dict(self._stored)  # by model, the loading that is pinned

    def notice(self, slots: Sequence[SlotConfig], seen: Observation) -> None:
        """Remember which pins are ours now."""
        if seen.fresh:
            self.own = own_pins(slots, seen, self.own)

    def write(self) -> None:
        """Make the store say the same."""
        own, stored = self.own, self._stored
        for model in stored.keys() - own.keys():
            self._store.forget_evidence(model, KIND)
        for model in own:
            if own[model] != stored.get(model):
                url, pid = own[model]
                self._store.save_evidence(Evidence(model, KIND, self._clock(), {"backend_url": url, "pid": pid}))
        self._stored = own


def _address(one: Evidence) -> Address:
    return (one.data["backend_url"], one.data["pid"])
