"""What hal0 does by itself to keep slots as their definitions want them: one pure function, one task per need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hal0app.core import npu
from hal0app.core.clock import Moment
from hal0app.core.operation import Kind, Operation
from hal0app.core.reasons import CATALOGUE
from hal0app.core.residency import Address, AllPinned, Observation, victims
from hal0app.core.slot import Record, State
from hal0app.core.slot_config import SlotConfig

NEVER_USED = float("-inf")


@dataclass(frozen=True)
class Use:
    """How a model is used through hal0 now: requests that run or wait, and the tick of the last one."""

    in_flight: int = 0
    waiting: int = 0
    last: float = NEVER_USED


@dataclass(frozen=True)
class Restore:
    """Load the slot's model again."""

    slot: SlotConfig


@dataclass(frozen=True)
class IdleUnload:
    """Unload the slot's model, unused for `minutes`."""

    slot: SlotConfig
    minutes: int


@dataclass(frozen=True)
class Pin:
    """Make lemond's pin of the model what the slots want."""

    model: str
    pinned: bool


@dataclass(frozen=True)
class Unpin:
    """Take back hal0's own pin of a model that no enabled slot has any more."""

    model: str


Task = Restore | IdleUnload | Pin | Unpin


def model_of(task: Task) -> str:
    """The model that the task is about."""
    return task.slot.model or "" if isinstance(task, Restore | IdleUnload) else task.model


@dataclass(frozen=True)
class Facts:
    """All that the tasks depend on.

    `started` is the tick at which hal0 began to count uses, `pins` what `own_pins` found until now.
    """

    slots: Sequence[SlotConfig]
    records: Mapping[str, Record]
    seen: Observation
    use: Callable[[str], Use]
    now: Moment
    started: float
    pins: Mapping[str, Address]

    @property
    def enabled(self) -> list[SlotConfig]:
        return [slot for slot in self.slots if slot.enabled and slot.model]


def tasks(facts: Facts) -> list[Task]:
    """What is to be done, most urgent first; nothing while lemond is silent."""
    if not facts.seen.fresh:
        return []
    return [*_pins(facts), *_unpins(facts), *_restores(facts), *_idle(facts)]


def own_pins(slots: Sequence[SlotConfig], seen: Observation, before: Mapping[str, Address]) -> dict[str, Address]:
    """The pins that are hal0's, each with the loading it holds: an enabled slot wants it, or one did when it was made.

    A pin ends with the loading of its model, so a later one without a slot is somebody else's.
    """
    wanted = {slot.model for slot in slots if slot.enabled and slot.pinned}
    pinned = [one for one in seen.residents if one.pinned]
    return {one.model: one.address for one in pinned if one.model in wanted or before.get(one.model) == one.address}


def vanished(before: Observation, now: Observation, operations: Sequence[Operation]) -> frozenset[str]:
    """The models that left between two looks at the same lemond without hal0 having anything to do with it."""
    if not before.fresh or not now.fresh or before.boot != now.boot:
        return frozenset()
    acts = [one for one in operations if one.kind is not Kind.PULL]
    ours = {one.model for one in acts if one.running or (one.finished and one.finished.tick >= before.taken.tick)}
    return before.models() - now.models() - ours


def by_priority(slots: Sequence[SlotConfig]) -> list[SlotConfig]:
    """The order in which slots come back: priority, then the defaults, then by name."""
    return sorted(slots, key=lambda slot: (-slot.priority, not slot.default, slot.name))


def _pins(facts: Facts) -> Iterator[Pin]:
    """A pin is lost on every unload (lemonade-contract.md section 6), so it is put right whenever it is wrong."""
    for model in sorted({slot.model or "" for slot in facts.enabled}):
        resident = facts.seen.resident(model)
        wanted = any(slot.pinned for slot in facts.enabled if slot.model == model)
        if resident is not None and resident.pinned != wanted:
            yield Pin(model, wanted)


def _unpins(facts: Facts) -> Iterator[Unpin]:
    """A pin that nobody wants any more would keep its place in the pool for ever."""
    named = {slot.model for slot in facts.enabled}
    for one in facts.seen.residents:
        if one.pinned and one.model not in named and facts.pins.get(one.model) == one.address:
            yield Unpin(one.model)


def _restores(facts: Facts) -> Iterator[Restore]:
    """Slots that want to come back by themselves, when that pushes nobody out."""
    for slot in by_priority([one for one in facts.enabled if not npu.is_shadow(one)]):
        record = facts.records.get(slot.name)
        lost = record is not None and record.state is State.OFFLINE and CATALOGUE[record.reason].lost
        if lost and slot.on_evict == "restore" and _has_room(slot, facts):
            yield Restore(slot)


def _has_room(slot: SlotConfig, facts: Facts) -> bool:
    try:
        return not victims(facts.seen, slot.model or "", slot.type, lambda model: facts.use(model).last)
    except AllPinned:
        return False


def _idle(facts: Facts) -> Iterator[IdleUnload]:
    """Residents whose every slot has seen no request for its `idle_unload_s`."""
    for slot in facts.enabled:
        sharing = [one for one in facts.enabled if one.model == slot.model]
        record = facts.records.get(slot.name)
        if record is None or record.state is not State.READY or facts.seen.resident(slot.model) is None:
            continue
        now = facts.use(slot.model or "")
        unused_s = min(facts.now.tick - max(now.last, facts.started), facts.now.wall - record.since)
        limits = [one.idle_unload_s for one in sharing]
        if all(0 < limit <= unused_s for limit in limits) and not (now.in_flight or now.waiting):
            yield IdleUnload(slot, int(unused_s // 60))
