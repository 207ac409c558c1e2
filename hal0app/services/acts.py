"""What the control worker does to lemond: preflight, make room, load, unload. Each act is recorded as an operation."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hal0app import errors
from hal0app.core import journal, npu
from hal0app.core.clock import Clock, Moment
from hal0app.core.lemond_log import Wipe
from hal0app.core.model import Model, load_request
from hal0app.core.operation import Cause, Kind, Operation, Status, last_finished
from hal0app.core.residency import AllPinned, Observation, Resident, victims
from hal0app.core.slot import BLAMELESS, options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import Lemonade, States
from hal0app.services.preflight import Preflight

HEARTBEAT_S = 5.0
CONFIRM_S = 10.0


class Acts:
    """Loads and unloads, one after the other; only the control worker calls them.

    `wait_s` bounds, for models without a slot, how long a victim's requests or a silent lemond are waited for.
    `on_wipe` is called when a load failed and residents vanished with it.
    """

    def __init__(
        self,
        lemonade: Lemonade,
        catalogue: Catalogue,
        leases: Leases,
        observer: Observer,
        store: States,
        clock: Clock,
        owner: str,
        wait_s: float = 120.0,
        preflight: Preflight | None = None,
    ) -> None:
        self._lemonade, self._catalogue, self._leases = lemonade, catalogue, leases
        self._observer, self._store, self._clock = observer, store, clock
        self._owner = owner
        self._preflight = preflight or Preflight(catalogue)
        self.wait_s = wait_s
        self.on_wipe: Callable[[Wipe], None] = lambda _: None

    def new_id(self) -> str:
        """An id for one operation."""
        return uuid.uuid4().hex[:16]

    # -- load

    def preflight(
        self, name: str, slot: SlotConfig | None, seen: Observation | None = None, replaced: str | None = None
    ) -> Model:
        """The model, if loading it can be tried; else the error that says what to do. lemond is left alone.

        `replaced` is a resident that is unloaded first in any case.
        """
        seen = seen or self._observer.snapshot.residency
        return self._preflight.check(name, slot, seen, self._leaving(name, seen, replaced))

    def preview(self, name: str, slot: SlotConfig, replaced: str | None) -> dict[str, Any]:
        """What a load would do, JSON-ready: who would leave, memory in bytes before and after, what objects."""
        seen = self._observer.snapshot.residency
        leaving = self._leaving(name, seen, replaced)
        refusal: Hal0Error | None = None
        try:
            self._preflight.check(name, slot, seen, leaving)
        except Hal0Error as problem:
            refusal = problem
        return {
            "model": name,
            "loaded": seen.resident(name) is not None,
            "leaves": [one.model for one in leaving if one.model != name],
            "memory": self._preflight.estimate(name, slot, seen, leaving),
            "refusal": refusal and {"code": refusal.code, "message": refusal.message, "details": refusal.details},
        }

    def _leaving(self, name: str, seen: Observation, replaced: str | None) -> list[Resident]:
        """Who will be unloaded before the load of `name`; all being pinned is told when room is made."""
        first = [one for one in seen.residents if one.model in {name, replaced}]
        model = self._catalogue.find(name)
        if model is None:
            return first
        rest = replace(seen, residents=tuple(one for one in seen.residents if one not in first))
        try:
            return [*first, *self._victims(model, rest)]
        except AllPinned:
            return first

    def load(self, id_: str, name: str, slot: SlotConfig | None, cause: Cause, wait_s: float) -> Resident:
        """Make `name` resident and return it as a look taken after the load shows it.

        A loading of it that is in order is returned as it is; a model that left again before anybody could use it is
        loaded once more. Raises the preflight's errors, `pool.all_pinned`, `slot.loading` when a victim is not drained
        in time, `model.load_failed`, `model.gone`, LemonadeError.
        """
        for attempt in (id_, self.new_id()):
            resident = self._load_once(attempt, name, slot, cause, wait_s)
            if resident is not None:
                return resident
        raise errors.error("model.gone", f"'{name}' was gone again right after its load, twice", retry_after=5)

    def _load_once(self, id_: str, name: str, slot: SlotConfig | None, cause: Cause, wait_s: float) -> Resident | None:
        seen = self._look(wait_s)
        there = seen.resident(name)
        if there is not None and self._leases.usable(there):
            return there
        try:
            model = self.preflight(name, slot, seen)
        except Hal0Error as refusal:
            self._refused(id_, name, slot, cause, refusal)
            raise
        with self._operation(id_, Kind.LOAD, name, slot, cause) as result:
            if there is not None:
                self._lemonade.unload(name)
                seen = self._look(wait_s)
            seen = self._make_room(model, seen, cause, wait_s)
            self._load(model, slot, seen, result)
        resident = self._look(CONFIRM_S).resident(name)  # after the load, so that its slots are recorded as ready
        if resident is not None:
            self._preflight.learn(model, slot, resident)
        return resident

    def _refused(self, id_: str, name: str, slot: SlotConfig | None, cause: Cause, refusal: Hal0Error) -> None:
        """Record what the preflight refused as a load that failed, once for as long as it stays the same."""
        now = self._clock()
        options = options_key(slot) if slot else ""
        last = last_finished(self._observer.snapshot.operations, name)
        same = last is not None and (last.error_code, last.options) == (refusal.code, options)
        if same or refusal.code in BLAMELESS:
            return
        begun = Operation(
            id_, Kind.LOAD, name, slot.name if slot else None, cause, now, owner=self._owner, options=options
        )
        self._end(begun, Status.FAILED, {}, refusal)

    def _load(self, model: Model, slot: SlotConfig | None, before: Observation, result: dict[str, Any]) -> None:
        body = load_request(model, slot, self._catalogue.installed_backends(model.recipe))
        started = self._clock()
        try:
            self._lemonade.load(body)
        except Hal0Error as problem:
            raise self._load_failed(model, before, problem, result) from problem
        result["load_ms"] = round((self._clock().tick - started.tick) * 1000)

    def _load_failed(self, model: Model, before: Observation, problem: Hal0Error, result: dict[str, Any]) -> Hal0Error:
        """The typed failure; `result` names the residents that lemond wiped away with it."""
        if problem.code == "lemonade.unavailable":
            return problem
        after = self._observer.after(self._clock(), CONFIRM_S)
        victims = sorted(before.models() - after.seen.models() - {model.id}) if after else []
        if victims:
            result["victims"] = victims
            self.on_wipe(Wipe(model.id, problem.message, tuple(victims), over=True))
        if problem.details.get("upstream_type") == "slots_pinned_error":
            return errors.error("pool.all_pinned", problem.message)
        return errors.error("model.load_failed", f"'{model.id}' could not be loaded: {problem.message}")

    def _make_room(self, model: Model, seen: Observation, cause: Cause, wait_s: float) -> Observation:
        """Unload, drained, whoever must leave so that lemond need not choose."""
        try:
            leaving = self._victims(model, seen)
        except AllPinned as full:
            message = f"every loaded model is pinned, so nothing can make room for '{model.id}'. Unpin one of: {full}"
            raise errors.error("pool.all_pinned", message, models=full.models) from None
        for one in leaving:
            self.unload(self.new_id(), one.model, None, Cause("displaced", cause.who, model.id), wait_s)
        return self._look(wait_s) if leaving else seen

    def _victims(self, model: Model, seen: Observation) -> list[Resident]:
        """Who must leave so that `model` has a place; raises AllPinned."""
        pinned = {slot.model for slot in self._observer.snapshot.configs if slot.pinned and slot.enabled and slot.model}
        found = victims(seen, model.id, model.type, self._leases.last_used, frozenset(pinned))
        return [*found, *npu.victims(model, seen, pinned, found)]

    # -- unload

    def unload(self, id_: str, name: str, slot: str | None, cause: Cause, wait_s: float, **facts: int) -> None:
        """Close `name`, wait until its requests have ended, unload it by name. Not loaded is fine.

        `facts` go into the operation's result.

        Raises `slot.loading` when it is still busy after `wait_s` seconds (it stays loaded), LemonadeError.
        """
        self._leases.close(name)
        try:
            with self._operation(id_, Kind.UNLOAD, name, None, cause, slot) as result:
                result.update(facts)
                if not self._leases.drained(name, wait_s):
                    message = f"'{name}' still answers requests after {wait_s:g} s, so it was not unloaded"
                    raise errors.error("slot.loading", message, retry_after=10)
                self._lemonade.unload(name)
            self._look(CONFIRM_S)
        finally:
            self._leases.open(name)

    def keep(self, id_: str, name: str, slot: str, cause: Cause, kept_for: Sequence[str]) -> None:
        """Record that an unload left the model where it is, for other slots have it too."""
        with self._operation(id_, Kind.KEEP, name, None, cause, slot) as result:
            result["kept_for"] = list(kept_for)

    def clear(self, name: str, slot: str, cause: Cause) -> None:
        """Record that a person wants the model's failures forgotten."""
        with self._operation(self.new_id(), Kind.CLEAR, name, None, cause, slot):
            self._store.forget_evidence(name)

    # -- observing and recording

    def _look(self, wait_s: float) -> Observation:
        """What lemond holds, seen after this moment; waits while it is silent, but not while nothing answers."""
        asked = self._clock()
        deadline = asked.tick + wait_s
        while (left := deadline - self._clock().tick) > 0:
            if self._observer.stopped:
                raise errors.error("system.stopping", "hal0 is shutting down", retry_after=5)
            snapshot = self._observer.after(asked, min(left, 2.0), fresh=False)
            if snapshot is not None and snapshot.seen.fresh:
                return snapshot.seen
            if snapshot is not None and not self._answers(snapshot):
                break
            asked = snapshot.seen.taken if snapshot is not None else asked
        raise errors.error("lemonade.unavailable", "Lemonade does not answer", retry_after=5)

    def _answers(self, snapshot: Snapshot) -> bool:
        return snapshot.seen.link is not snapshot.seen.link.DOWN

    @contextmanager
    def _operation(
        self, id_: str, kind: Kind, model: str, slot: SlotConfig | None, cause: Cause, name: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Record the act from start to end, with a heartbeat so that others see that somebody works on it."""
        started = self._clock()
        options = options_key(slot) if slot else ""
        slot_name = slot.name if slot else name
        begun = Operation(id_, kind, model, slot_name, cause, started, owner=self._owner, options=options)
        self._store.save_operation(begun)
        self._observer.poke()
        result: dict[str, Any] = {}
        try:
            with self._beating(id_):
                yield result
        except Hal0Error as problem:
            self._end(begun, Status.FAILED, result, problem)
            raise
        except BaseException:
            self._end(begun, Status.FAILED, result, errors.error("system.internal", "an unexpected fault"))
            raise
        self._end(begun, Status.DONE, result)

    def _end(self, begun: Operation, status: Status, result: dict[str, Any], error: Hal0Error | None = None) -> None:
        now = self._clock()
        code, message = (error.code, error.message) if error else (None, None)
        ended = replace(
            begun, status=status, finished=now, heartbeat=now, result=result, error_code=code, error_message=message
        )
        self._store.save_operation(ended, [journal.of_operation(ended, now)])
        self._observer.poke()

    @contextmanager
    def _beating(self, id_: str) -> Iterator[None]:
        over = threading.Event()
        beat = threading.Thread(target=_beat, args=(over, self._store.heartbeat, id_, self._clock), daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()


def _beat(over: threading.Event, heartbeat: Callable[[str, Moment], None], id_: str, clock: Clock) -> None:
    while not over.wait(HEARTBEAT_S):
        heartbeat(id_, clock())
