"""Putting another model into a slot: all of it, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from hal0app import errors
from hal0app.core import npu
from hal0app.core.operation import Cause
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.acts import Acts
from hal0app.services.errand import Errand
from hal0app.services.lease import Moved
from hal0app.services.leases import Leases, Terms
from hal0app.services.observer import Observer
from hal0app.services.operations import new_id

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swap:
    """The slot's model is to be `new` instead of `old`; `keep` makes the choice lasting."""

    slot: SlotConfig
    old: str
    new: str
    keep: Callable[[], None]


class Swaps:
    """Carries swaps out."""

    def __init__(self, acts: Acts, leases: Leases, observer: Observer) -> None:
        self._acts, self._leases, self._observer = acts, leases, observer

    def carry_out(self, id_: str, swap: Swap, errand: Errand) -> None:
        """Unload the old model, load the new one, keep the choice; when one of these fails, all is as it was.

        An old model that other slots have too stays where it is, unless the pool needs its place. `id_` is the load's.
        """
        others = self._others(swap)
        self._acts.preflight(swap.new, swap.slot, replaced=None if others else swap.old)
        before = self._observer.snapshot.residency
        held = before.resident(swap.old) is not None
        try:
            if held and others:
                self._acts.keep(new_id(), swap.old, swap.slot.name, errand.cause, others)
            elif held:
                swapped = replace(errand, cause=Cause("swapped", errand.cause.who, swap.new))
                self._acts.unload(new_id(), swap.old, swap.slot.name, swapped)
            resident = self._acts.load(id_, swap.new, swap.slot, errand)
            _kept(swap.keep)
        except Hal0Error:
            self._put_back(swap, held, before.resident(swap.new) is not None, errand)
            raise
        self._observer.poke()
        self._leases.grant(resident, _terms(swap.slot))
        if not others:
            message = f"slot '{swap.slot.name}' has '{swap.new}' now"
            self._leases.refuse(swap.old, Moved("slot.loading", message, retry_after=1))

    def _others(self, swap: Swap) -> tuple[str, ...]:
        """The other enabled slots that have the old model."""
        loaded = [one for one in self._observer.snapshot.configs if one.enabled and not npu.is_shadow(one)]
        return tuple(one.name for one in loaded if one.model == swap.old and one.name != swap.slot.name)

    def _put_back(self, swap: Swap, held: bool, stays: bool, errand: Errand) -> None:
        """The new model leaves, unless it was there before, and the old one comes back."""
        restore = replace(errand, cause=Cause("restore", "hal0"))
        try:
            if not stays and swap.new != swap.old and self._observer.snapshot.residency.resident(swap.new) is not None:
                self._acts.unload(new_id(), swap.new, None, restore)
            if held:
                self._leases.grant(self._acts.load(new_id(), swap.old, swap.slot, restore), _terms(swap.slot))
        except Hal0Error as problem:
            log.warning("'%s' could not be put back after a swap: %s", swap.old, problem)


def _terms(slot: SlotConfig) -> Terms:
    return Terms(slot.max_in_flight, slot.queue)


def _kept(keep: Callable[[], None]) -> None:
    try:
        keep()
    except OSError as problem:
        raise errors.error("system.storage", f"the swap could not be written down: {problem}") from problem
