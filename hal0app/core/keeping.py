"""What hal0 does by itself to keep slots as their definitions want them: one pure function, one task per need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hal0app.core import npu
from hal0app.core.operation import Operation
from hal0app.core.reasons import CATALOGUE
from hal0app.core.residency import AllPinned, Observation, victims
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


Task = Restore | IdleUnload | Pin


def tasks(
    slots: Sequence[SlotConfig],
    records: Mapping[str, Record],
    seen: Observation,
    use: Callable[[str], Use],
    tick: float,
    wall: float,
) -> list[Task]:
    """What is to be done, most urgent first; nothing while lemond is silent."""
    if not seen.fresh:
        return []
    enabled = [slot for slot in slots if slot.enabled and slot.model]
    return [
        *_pins(enabled, seen),
        *_restores(enabled, records, seen, use),
        *_idle(enabled, records, seen, use, tick, wall),
    ]


def vanished(before: Observation, now: Observation, operations: Sequence[Operation]) -> frozenset[str]:
    """The models that left between two looks at the same lemond without hal0 having anything to do with it."""
    if not before.fresh or not now.fresh or before.boot != now.boot:
        return frozenset()
    ours = {one.model for one in operations if one.running or (one.finished and one.finished.tick >= before.taken.tick)}
    return before.models() - now.models() - ours


def by_priority(slots: Sequence[SlotConfig]) -> list[SlotConfig]:
    """The order in which slots come back: priority, then the defaults, then by name."""
    return sorted(slots, key=lambda slot: (-slot.priority, not slot.default, slot.name))


def _pins(slots: Sequence[SlotConfig], seen: Observation) -> Iterator[Pin]:
    """A pin is lost on every unload (lemonade-contract.md section 6), so it is put right whenever it is wrong."""
    for model in sorted({slot.model or "" for slot in slots}):
        resident = seen.resident(model)
        wanted = any(slot.pinned for slot in slots if slot.model == model)
        if resident is not None and resident.pinned != wanted:
            yield Pin(model, wanted)


def _restores(
    slots: Sequence[SlotConfig], records: Mapping[str, Record], seen: Observation, use: Callable[[str], Use]
) -> Iterator[Restore]:
    """Slots that want to come back by themselves, when that pushes nobody out."""
    for slot in by_priority([one for one in slots if not npu.is_shadow(one)]):
        record = records.get(slot.name)
        lost = record is not None and record.state is State.OFFLINE and CATALOGUE[record.reason].lost
        if lost and slot.on_evict == "restore" and _has_room(slot, seen, use):
            yield Restore(slot)


def _has_room(slot: SlotConfig, seen: Observation, use: Callable[[str], Use]) -> bool:
    try:
        return not victims(seen, slot.model or "", slot.type, lambda model: use(model).last)
    except AllPinned:
        return False


def _idle(
    slots: Sequence[SlotConfig],
    records: Mapping[str, Record],
    seen: Observation,
    use: Callable[[str], Use],
    tick: float,
    wall: float,
) -> Iterator[IdleUnload]:
    """Residents whose every slot has seen no request for its `idle_unload_s`."""
    for slot in slots:
        sharing = [one for one in slots if one.model == slot.model]
        record = records.get(slot.name)
        if record is None or record.state is not State.READY or seen.resident(slot.model) is None:
            continue
        now = use(slot.model or "")
        unused_s = tick - now.last if now.last > NEVER_USED else wall - record.since
        limits = [one.idle_unload_s for one in sharing]
        if all(0 < limit <= unused_s for limit in limits) and not (now.in_flight or now.waiting):
            yield IdleUnload(slot, int(unused_s // 60))
