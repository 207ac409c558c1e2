"""The keeper: does by itself what slots want (restore, idle unload, pins) and brings back what a wipe took."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.keeping import IdleUnload, Pin, Restore, Task, Use, by_priority, tasks, vanished
from hal0app.core.lemond_log import Wipe
from hal0app.core.residency import Link
from hal0app.core.slot import State
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.control import Control, Want
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import Lemonade, States
from hal0app.services.wanted import Wanted
from hal0app.services.witness import Witness

log = logging.getLogger(__name__)

RESTORE_WAIT_S = 900.0
FAILURES_IN_A_ROW = 2
SAME_WIPE_S = 60.0
PAUSE_AFTER_FAILURE_S = 60.0
MASS = 2


@dataclass(frozen=True)
class _Told:
    """A wipe that was dealt with; `missing` are the victims that did not come back."""

    trigger: str | None
    tick: float
    missing: frozenset[str]

    def may_be(self, wipe: Wipe) -> bool:
        return None in (self.trigger, wipe.trigger) or self.trigger == wipe.trigger


class Keeper:
    """Puts lemond's configuration right, works through wipes, then through the latest snapshot's tasks, one by one."""

    def __init__(
        self,
        observer: Observer,
        control: Control,
        leases: Leases,
        lemonade: Lemonade,
        store: States,
        clock: Clock,
        witness: Witness,
        wanted: Wanted,
    ) -> None:
        self._observer, self._control, self._leases = observer, control, leases
        self._lemonade, self._store, self._clock, self._witness = lemonade, store, clock, witness
        self._wanted = wanted
        self._wipes: deque[Wipe] = deque()
        self._news = threading.Event()
        self._stopping = False
        self._not_before: dict[Task, float] = {}
        self._recent: list[_Told] = []
        self._seen = observer.snapshot.seen

    def run(self) -> None:
        """Work until stopped; what fails is logged and tried again later."""
        self._observer.subscribe(self._watch)
        while not self._stopping:
            self._news.wait()
            self._news.clear()
            try:
                self._work()
            except Exception:
                log.exception("the keeper failed")

    def stop(self) -> None:
        """End `run` after what it is doing."""
        self._stopping = True
        self._news.set()

    def wiped(self, wipe: Wipe) -> None:
        """lemond evicted everything because a load failed: the victims' slots are to come back."""
        self._wipes.append(wipe)
        self._news.set()

    def _work(self) -> None:
        self._wanted.put_right()
        while self._wipes and not self._stopping:
            self._recover(self._wipes.popleft())
        snapshot = self._observer.snapshot
        now = self._clock()
        self._forgive(snapshot)
        for task in tasks(snapshot.configs, snapshot.records, snapshot.seen, self._use, now.tick, now.wall):
            self._try(task)

    def _use(self, model: str) -> Use:
        leases = self._leases
        return Use(leases.in_flight(model), leases.waiting(model), leases.last_used(model))

    # -- tasks

    def _try(self, task: Task) -> None:
        """Carry out one task; after a failure the same one rests for a minute."""
        tick = self._clock().tick
        if self._not_before.get(task, tick) > tick or self._stopping:
            return
        try:
            self._carry_out(task)
        except Hal0Error as problem:
            self._not_before[task] = tick + PAUSE_AFTER_FAILURE_S
            log.warning("%s: %s", task, problem)

    def _forgive(self, snapshot: Snapshot) -> None:
        """A slot that has been ready since its restore failed need not rest when it is lost again."""
        ready = {name for name, record in snapshot.records.items() if record.state is State.READY}
        for task in list(self._not_before):
            if isinstance(task, Restore) and task.slot.name in ready:
                del self._not_before[task]

    def _carry_out(self, task: Task) -> None:
        match task:
            case Restore(slot):
                self._control.restore(_want(slot)).wait(RESTORE_WAIT_S)
            case IdleUnload(slot, minutes):
                self._control.unload_idle(_want(slot), minutes).wait(RESTORE_WAIT_S)
            case Pin(model, pinned):
                self._lemonade.pin(model, pinned)
                self._observer.poke()

    # -- wipes

    def _recover(self, wipe: Wipe) -> None:
        """Load the victims' slots again, one by one, by priority; two failures in a row stop it, visibly."""
        snapshot = self._observer.after(self._clock(), RESTORE_WAIT_S)
        if snapshot is None:
            return
        lost = set(wipe.victims) - {wipe.trigger} - snapshot.seen.models()
        if self._told_already(wipe, lost):
            return
        slots = by_priority([slot for slot in snapshot.configs if slot.enabled and slot.model in lost])
        restored: list[str] = []
        failed: list[str] = []
        in_a_row = 0
        for slot in slots:
            if in_a_row == FAILURES_IN_A_ROW:
                break
            came_back = self._came_back(slot)
            (restored if came_back else failed).append(slot.name)
            in_a_row = 0 if came_back else in_a_row + 1
        back = {slot.model for slot in slots if slot.name in restored}
        self._recent.append(_Told(wipe.trigger, self._clock().tick, frozenset(lost - back)))
        self._tell(wipe, restored, failed, [slot.name for slot in slots[len(restored) + len(failed) :]])

    def _told_already(self, wipe: Wipe, lost: set[str]) -> bool:
        """Whether another source (our own load's failure, lemond's log) told of this wipe, and nobody left since."""
        tick = self._clock().tick
        self._recent = [one for one in self._recent if tick - one.tick < SAME_WIPE_S]
        return any(one.may_be(wipe) and lost <= one.missing for one in self._recent)

    def _came_back(self, slot: SlotConfig) -> bool:
        try:
            return self._control.restore(_want(slot)).wait(RESTORE_WAIT_S)
        except Hal0Error as problem:
            log.warning("slot %s could not be restored: %s", slot.name, problem)
            return False

    def _tell(self, wipe: Wipe, restored: list[str], failed: list[str], given_up: list[str]) -> None:
        now = self._clock()
        data = {"trigger": wipe.trigger, "cause": wipe.cause, "victims": sorted(wipe.victims)}
        outcome = f"restored: {', '.join(restored) or 'none'}" + (f"; failed: {', '.join(failed)}" if failed else "")
        message = f"loading {wipe.trigger or 'a model'} failed ({wipe.cause}) and lemond unloaded everything; {outcome}"
        entry = Entry(
            now.wall, "evict.nuclear", message, "error", data={**data, "restored": restored, "failed": failed}
        )
        self._store.write_journal([entry])
        stopped = {name: f"slot {name} was not restored after a wipe: two others failed in a row" for name in given_up}
        self._store.keep_findings("restore.stopped", stopped, now, "keeper")

    # -- wipes that nobody tells of

    def _watch(self, snapshot: Snapshot) -> None:
        """A mass disappearance that nothing explains is a wipe, unless lemond's log is heard and says nothing."""
        if snapshot.seen.fresh:
            lost = vanished(self._seen, snapshot.seen, snapshot.operations)
            if len(lost) >= MASS and not self._witness.present:
                self.wiped(Wipe(None, "no cause is known", tuple(sorted(lost)), over=True))
        if snapshot.seen.fresh or snapshot.seen.link is Link.DOWN:
            self._seen = snapshot.seen
        self._wanted.notice(snapshot.seen)
        self._news.set()


def _want(slot: SlotConfig) -> Want:
    return Want(slot.model or "", slot)
