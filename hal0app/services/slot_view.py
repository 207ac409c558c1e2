"""A slot with all that is known of it now: what is wanted, what is recorded, and how it fares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hal0app import errors
from hal0app.core import loaded, npu
from hal0app.core.clock import Clock, Moment
from hal0app.core.loaded import Difference
from hal0app.core.quarantine import FOREIGN
from hal0app.core.reconcile import Slot
from hal0app.core.residency import Resident
from hal0app.core.slot import Record, State
from hal0app.core.slot_config import SlotConfig
from hal0app.core.vitals import UNKNOWN, Vitals
from hal0app.services.control import Control
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.quarantines import Quarantines
from hal0app.services.turn import NOBODY, Call

IDLE_AFTER_S = 300.0


@dataclass(frozen=True)
class KeptOut:
    """A model whose loads failed, so that a slot may try it again only after `until` (Unix seconds)."""

    failures: int
    cause: str
    until: float


@dataclass(frozen=True)
class SlotView:
    """One slot with all that is known of it now."""

    slot: Slot
    record: Record
    state: State
    resident: Resident | None = None
    in_flight: int = 0
    queued: int = 0
    last_used_at: float | None = None
    last_load_ms: int | None = None
    operation: str | None = None
    differences: tuple[Difference, ...] = ()
    swaps_to: str = ""  # the model that is to take its place
    waits_for: Call = NOBODY
    kept_out: KeptOut | None = None
    vitals: Vitals = UNKNOWN

    @property
    def config(self) -> SlotConfig | None:
        return self.slot if isinstance(self.slot, SlotConfig) else None

    def as_json(self) -> dict[str, Any]:
        """The slot as `/api/slots` shows it; a null means not known or not reported."""
        record, config, resident = self.record, self.config, self.resident
        return {
            "name": self.slot.name,
            "type": config and config.type,
            "device": (config and config.device) or (resident and resident.device) or None,
            "model": config and config.model,
            "port": (config and config.port) or None,
            "enabled": bool(config and config.enabled),
            "default": bool(config and config.default),
            "pinned": bool(config and config.pinned),
            "priority": config and config.priority,
            "on_evict": config and config.on_evict,
            "state": self.state,
            "reason": record.reason or None,
            "message": record.message,
            "since": record.since or None,
            "stale_since": record.stale_since,
            "displaced_by": record.displaced_by,
            "backend_url": resident.backend_url if resident else None,
            "recipe": resident.recipe if resident else None,
            "ctx_size": (resident and resident.ctx_size) or (config and config.ctx_size),
            "options_differ": bool(self.differences),
            "waits_for": self.waits_for.model or None,
            "labels": list(config.labels) if config else [],
            "in_flight": self.in_flight,
            "queued": self.queued,
            "last_used_at": self.last_used_at,
            "loads": record.loads,
            "evictions": record.evictions,
            "last_load_ms": self.last_load_ms,
            **self.vitals.as_json(),
            "operation": self.operation,
            "version": record.version,
        }


class SlotViews:
    """Made of the observer's snapshot and of what the other services know at once.

    `vitals` tells how a slot, with its resident if it is loaded, fares.
    """

    def __init__(
        self, observer: Observer, control: Control, leases: Leases, clock: Clock, quarantines: Quarantines
    ) -> None:
        self._observer, self._control, self._leases = observer, control, leases
        self._clock, self._quarantines = clock, quarantines
        self.vitals: Callable[[str, Resident | None], Vitals] = lambda slot, resident: UNKNOWN

    def all(self) -> list[SlotView]:
        """Every slot, by name."""
        snapshot = self._observer.snapshot
        return [self._view(slot, snapshot) for slot in snapshot.slots]

    def one(self, name: str) -> SlotView:
        """One slot; raises `slot.not_found`."""
        snapshot = self._observer.snapshot
        slot = snapshot.slot(name)
        if slot is None:
            known = ", ".join(one.name for one in snapshot.slots) or "none"
            raise errors.error("slot.not_found", f"there is no slot '{name[:64]}'. Slots: {known}")
        return self._view(slot, snapshot)

    def _view(self, slot: Slot, snapshot: Snapshot) -> SlotView:
        record = snapshot.record(slot.name)
        model = (npu.carrier(slot, snapshot.slots) or slot).model if isinstance(slot, SlotConfig) else None
        ready = record.state is State.READY
        mine = [one for one in snapshot.operations if one.model == model]
        loads = [one.result["load_ms"] for one in mine if "load_ms" in one.result]
        last, now = self._leases.last_used(model or ""), self._clock()
        resident = snapshot.residency.resident(model) if ready else None
        swaps_to, before = self._control.swapping(slot.name, model or "")
        if before == NOBODY and model and resident is None:
            before = self._control.before(model)
        return SlotView(
            slot=slot,
            record=record,
            state=self._state(record, model, last, now.tick, now.wall),
            resident=resident,
            in_flight=self._leases.in_flight(model),
            queued=self._leases.waiting(model),
            last_used_at=now.wall - (now.tick - last) if last > 0 else None,
            last_load_ms=loads[0] if loads else None,
            operation=next((one.id for one in mine if one.alive(now)), None),
            differences=_differences(slot, resident, snapshot),
            swaps_to=swaps_to,
            waits_for=before,
            kept_out=self._kept_out(slot, model, now),
            vitals=self.vitals(slot.name, resident),
        )

    def _kept_out(self, slot: Slot, model: str | None, now: Moment) -> KeptOut | None:
        """The pause after which the slot may try its model again; None where nothing waits for a time."""
        one = self._quarantines.of(model or "")
        if one is None or one.options != FOREIGN or not isinstance(slot, SlotConfig) or one.ends.tick <= now.tick:
            return None
        return KeptOut(one.failures, one.cause, one.ends.wall)

    def _state(self, record: Record, model: str | None, last: float, tick: float, wall: float) -> State:
        """The stored state, with `ready` shown as serving or idle from what this process knows."""
        if record.state is not State.READY:
            return record.state
        if self._leases.in_flight(model):
            return State.SERVING
        unused_s = tick - last if last > 0 else wall - record.since
        return State.IDLE if unused_s > IDLE_AFTER_S else State.READY


def _differences(slot: Slot, resident: Resident | None, snapshot: Snapshot) -> tuple[Difference, ...]:
    """The load options that the slot's model runs with otherwise than the slot asks; a shadow has none of its own."""
    if resident is None or not isinstance(slot, SlotConfig) or npu.is_shadow(slot):
        return ()
    return loaded.differences(slot, resident, snapshot.operations)
