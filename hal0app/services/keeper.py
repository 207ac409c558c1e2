"""The keeper: does by itself what slots want (restore, idle unload, pins) and brings back what a wipe took."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.keeping import Facts, IdleUnload, Pin, Restore, Task, Unpin, Use, by_priority, tasks, vanished
from hal0app.core.lemond_log import Wipe
from hal0app.core.operation import Kind
from hal0app.core.quarantine import FOREIGN
from hal0app.core.residency import Link
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.control import Control, Want
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.pins import Pins
from hal0app.services.ports import Lemonade, States
from hal0app.services.quarantines import Quarantines
from hal0app.services.rests import Rests
from hal0app.services.wanted import Wanted
from hal0app.services.witness import Witness

log = logging.getLogger(__name__)

RESTORE_WAIT_S = 900.0
FAILURES_IN_A_ROW = 2
SAME_WIPE_S = 60.0
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
        quarantines: Quarantines,
    ) -> None:
        self._observer, self._control, self._leases = observer, control, leases
        self._lemonade, self._store, self._clock, self._witness = lemonade, store, clock, witness
        self._wanted, self._quarantines = wanted, quarantines
        self._started = clock().tick
        self._pins, self._rests = Pins(store, clock), Rests()
        self._wipes: deque[Wipe] = deque()
        self._news = threading.Event()
        self._stopping = False
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

    def heard(self, wipe: Wipe) -> None:
        """As `wiped`, told by lemond's log. What somebody else could not load is nothing for hal0 to try at once."""
        if wipe.trigger is not None and not wipe.loaded and not self._is_ours(wipe.trigger):
            self._quarantines.add(wipe.trigger, wipe.cause, FOREIGN)
        self.wiped(wipe)

    def _is_ours(self, model: str) -> bool:
        """Whether hal0 tries to load the model now, or did a moment ago and knows of the failure."""
        now = self._clock()
        known = self._quarantines.of(model)
        counted = known is not None and known.options != FOREIGN and now.tick - known.last.tick < SAME_WIPE_S
        loads = [one for one in self._store.past(now).operations if one.model == model and one.kind is Kind.LOAD]
        return counted or any(one.alive(now) for one in loads)

    def _work(self) -> None:
        self._wanted.put_right()
        while self._wipes and not self._stopping:
            self._recover(self._wipes.popleft())
        snapshot = self._observer.snapshot
        self._rests.forgive(snapshot)
        self._quarantines.forgive(snapshot)
        self._pins.write()
        for task in tasks(self._facts(snapshot)):
            self._try(task)

    def _facts(self, snapshot: Snapshot) -> Facts:
        now = self._clock()
        pins = {} if snapshot.problem else self._pins.own  # a slot that cannot be read may still want its pin
        return Facts(snapshot.configs, snapshot.records, snapshot.seen, self._use, now, self._started, pins)

    def _use(self, model: str) -> Use:
        leases = self._leases
        return Use(leases.in_flight(model), leases.waiting(model), leases.last_used(model))

    # -- tasks

    def _try(self, task: Task) -> bool:
        """Whether one task was carried out; after a failure it rests, and a model in quarantine is not restored."""
        if self._stopping or not self._rests.over(task, self._clock().tick) or self._held(task):
            return False
        try:
            done = self._carry_out(task)
        except Hal0Error as problem:
            self._rests.failed(task, self._clock().tick)
            log.warning("%s: %s", task, problem)
            return False
        self._rests.done(task)
        return done

    def _held(self, task: Task) -> bool:
        return isinstance(task, Restore) and self._quarantines.refusal(task.slot.model or "", task.slot) is not None

    def _carry_out(self, task: Task) -> bool:
        """Whether it ended in time."""
        match task:
            case Restore(slot):
                return self._control.restore(_want(slot)).wait(RESTORE_WAIT_S)
            case IdleUnload(slot, minutes):
                return self._control.unload_idle(_want(slot), minutes).wait(RESTORE_WAIT_S)
            case Pin(model, pinned):
                self._lemonade.pin(model, pinned)
            case Unpin(model):
                self._lemonade.pin(model, pinned=False)
                message = f"the pin of {model} was taken back, for no enabled slot has it any more"
                told = Entry(self._clock().wall, "model.unpin", message, source="keeper", model=model)
                self._store.write_journal([told])
        self._observer.poke()
        return True

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
            came_back = self._try(Restore(slot))
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
        self._pins.notice(snapshot.configs, snapshot.seen)
        self._news.set()


def _want(slot: SlotConfig) -> Want:
    return Want(slot.model or "", slot)
