"""What hal0's jobs do to lemond: preflight, make room, load, unload. Each act is recorded as an operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hal0app import errors
from hal0app.core import loaded, npu
from hal0app.core.clock import Clock
from hal0app.core.lemond_log import Wipe
from hal0app.core.model import Model, load_request
from hal0app.core.operation import Cause, Kind
from hal0app.core.residency import AllPinned, Observation, Resident, victims
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.errand import Errand
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.operations import Operations, new_id
from hal0app.services.ports import Lemonade, States
from hal0app.services.preflight import Preflight
from hal0app.services.turn import Call, Turn

CONFIRM_S = 10.0
LOOK_S = 2.0
LULL_S = 0.25  # between two looks at whether a model is busy
NAP_S = 1.0  # as often as there is a new look at lemond
PATIENCE = 0.25  # the part of its wait that a request gives way; the rest is for the drain and the load
SPEAKING = ("crashed", "wiped", "crash_loop")  # the kinds of evidence that a person may want forgotten


class Acts:
    """Loads and unloads. Those of one pool come one after the other, as the jobs of `Control` do; those of different
    pools meet only at the turn to call lemond.

    `wait_s` is the bound of an errand for a model without a slot. `on_wipe` is called when a load failed and residents
    vanished with it.
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
        self._operations = Operations(store, observer, clock, owner)
        self._turn = Turn(clock)
        self._preflight = preflight or Preflight(catalogue)
        self.wait_s = wait_s
        self.on_wipe: Callable[[Wipe], None] = lambda _: None

    def stir(self) -> None:
        """Let every wait of an act ask its errand's check again."""
        self._turn.stir()
        self._leases.stir()

    def before(self, name: str) -> Call:
        """The call to lemond that an act on the model waits for; NOBODY when none waits for its turn."""
        return self._turn.before(name)

    def claims(self, name: str, slot: SlotConfig | None) -> frozenset[str]:
        """What an act on the model has for itself: the model, the pool of its type, and the NPU if it runs there."""
        known = next((one for one in self._catalogue.known() if one.id == name), None)
        there = self._observer.snapshot.residency.resident(name)
        types = {str(one.type) for one in (slot, known, there) if one is not None}
        on_npu = (slot is not None and slot.device == "npu") or npu.FLM in {one.recipe for one in (known, there) if one}
        return frozenset({f"model {name}", *(f"pool {one}" for one in types), *(["npu"] if on_npu else [])})

    # -- before a load

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
            **self._preflight.estimate(name, slot, seen, leaving),
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

    # -- load

    def load(self, id_: str, name: str, slot: SlotConfig | None, errand: Errand) -> Resident:
        """Make `name` resident and return it as a look taken after the load shows it.

        A loading of it that is in order is returned as it is, unless an operator wants it and it has other options
        than the slot; a model that left again before anybody could use it is loaded once more. Raises the preflight's
        errors, `pool.all_pinned`, `slot.loading` when a victim is not drained in time, `model.load_failed`,
        `model.gone`, LemonadeError, and what the errand's check raises.
        """
        for attempt in (id_, new_id()):
            resident = self._load_once(attempt, name, slot, errand)
            if resident is not None:
                return resident
        raise errors.error("model.gone", f"'{name}' was gone again right after its load, twice", retry_after=5)

    def _load_once(self, id_: str, name: str, slot: SlotConfig | None, errand: Errand) -> Resident | None:
        seen = self._look(errand)
        there = seen.resident(name)
        usable = there is not None and self._leases.usable(there)
        if there is not None and usable and not self._outdated(there, slot, errand.cause):
            return there
        model = self._checked(id_, name, slot, errand.cause, seen)
        if self._held_off(model, seen, errand):
            return self._load_once(id_, name, slot, errand)  # somebody may have loaded it meanwhile
        if usable:
            self.unload(new_id(), name, slot.name if slot else None, errand)
            seen, there = self._look(errand), None
        with self._operations.under_way(id_, Kind.LOAD, name, slot, errand.cause) as result:
            if there is not None:
                with self._turn.take(errand.check, Call("unloading", name)):
                    self._lemonade.unload(name)
                seen = self._look(errand)
            seen = self._make_room(model, seen, errand)
            with self._turn.take(errand.check, Call("loading", name)):
                model, seen = self._before(model, slot, seen, errand)
                self._load(model, slot, seen, result)
        resident = self._look(CONFIRM).resident(name)  # after the load, so that its slots are recorded as ready
        if resident is not None:
            self._preflight.learn(model, slot, resident)
        return resident

    def _checked(self, id_: str, name: str, slot: SlotConfig | None, cause: Cause, seen: Observation) -> Model:
        """As `preflight`; a refusal is recorded."""
        try:
            return self.preflight(name, slot, seen)
        except Hal0Error as refusal:
            self._operations.refused(id_, name, slot, cause, refusal)
            raise

    def _held_off(self, model: Model, seen: Observation, errand: Errand) -> bool:
        """Wait until those who would have to leave have served who waits for them; whether that took any time."""
        patience_s, waited = errand.wait_s * PATIENCE, False
        while errand.gives_way():
            try:
                leaving = self._victims(model, seen)
            except AllPinned:
                break
            if not any(self._leases.holds_off(one.model, model.id, patience_s) for one in leaving):
                break
            errand.check()
            self._leases.changes(NAP_S)
            seen, waited = self._observer.snapshot.residency, True
        return waited

    def _outdated(self, there: Resident, slot: SlotConfig | None, cause: Cause) -> bool:
        """Whether this load is to replace a loading that is in order: requests use what is there, a person decides."""
        if slot is None or cause.reason != "operator":
            return False
        return bool(loaded.differences(slot, there, self._observer.snapshot.operations))

    def _before(
        self, model: Model, slot: SlotConfig | None, seen: Observation, errand: Errand
    ) -> tuple[Model, Observation]:
        """What is there right before the call; where another act has called since `seen`, all is asked again."""
        if seen.taken.tick > self._turn.ended.tick:
            return model, seen
        seen = self._look(errand)
        return self.preflight(model.id, slot, seen), seen

    def _load(self, model: Model, slot: SlotConfig | None, before: Observation, result: dict[str, Any]) -> None:
        body = load_request(model, slot, self._catalogue.installed_backends(model.recipe))
        if "ctx_size" in body:
            result["ctx_size"] = body["ctx_size"]
        started = self._clock()
        try:
            self._lemonade.load(body)
        except Hal0Error as problem:
            failure = self._load_failed(model, before, problem, result)
            self._preflight.blame(model, slot, failure.code, problem.message)
            raise failure from problem
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

    def _make_room(self, model: Model, seen: Observation, errand: Errand) -> Observation:
        """Unload, drained, whoever must leave so that lemond need not choose."""
        try:
            leaving = self._victims(model, seen)
        except AllPinned as full:
            message = f"every loaded model is pinned, so nothing can make room for '{model.id}'. Unpin one of: {full}"
            raise errors.error("pool.all_pinned", message, models=full.models) from None
        displaced = replace(errand, cause=Cause("displaced", errand.cause.who, model.id, errand.cause.request))
        for one in leaving:
            self.unload(new_id(), one.model, None, displaced)
        return self._look(errand) if leaving else seen

    def _victims(self, model: Model, seen: Observation) -> list[Resident]:
        """Who must leave so that `model` has a place; raises AllPinned."""
        pinned = {slot.model for slot in self._observer.snapshot.configs if slot.pinned and slot.enabled and slot.model}
        found = victims(seen, model.id, model.type, self._leases.recency, frozenset(pinned))
        return [*found, *npu.victims(model, seen, pinned, found)]

    # -- unload

    def unload(self, id_: str, name: str, slot: str | None, errand: Errand, **facts: int) -> None:
        """Close `name`, wait until its requests have ended, unload it by name. Not loaded is fine.

        `facts` go into the operation's result.

        Raises `slot.loading` when it is still busy after the errand's wait (it stays loaded), LemonadeError, and what
        the errand's check raises.
        """
        self._turn.free(errand.check, name)  # nobody has to wait for this model while another one is being loaded
        self._leases.close(name)
        after = self._leases.open
        try:
            with self._operations.under_way(id_, Kind.UNLOAD, name, None, errand.cause, slot) as result:
                result.update(facts)
                until = self._clock().tick + errand.wait_s
                if not (self._leases.drained(name, errand.wait_s, errand.check) and self._quiet(name, until, errand)):
                    message = f"'{name}' still answers requests after {errand.wait_s:g} s, so it was not unloaded"
                    raise errors.error("slot.loading", message, retry_after=10)
                with self._turn.take(errand.check, Call("unloading", name)):
                    self._lemonade.unload(name)
                after = self._leases.left
            self._look(CONFIRM)
        finally:
            after(name)

    def _quiet(self, name: str, until: float, errand: Errand) -> bool:
        """Wait until lemond answers nothing with the model either, at most to `until`; whether that came.

        It goes on with what is not streamed when its client has left, and has clients that hal0 does not know. While it
        waits for their end itself, it answers nobody (lemonade-contract.md section 6).
        """
        while (there := self._look(errand).resident(name)) is not None and there.busy:
            left = until - self._clock().tick
            if left <= 0:
                return False
            self._leases.changes(min(left, LULL_S))
        return True

    def keep(self, id_: str, name: str, slot: str, cause: Cause, kept_for: Sequence[str]) -> None:
        """Record that an unload left the model where it is, for other slots have it too."""
        with self._operations.under_way(id_, Kind.KEEP, name, None, cause, slot) as result:
            result["kept_for"] = list(kept_for)

    def clear(self, name: str, slot: str, cause: Cause) -> None:
        """Record that a person wants the model's failures forgotten."""
        with self._operations.under_way(new_id(), Kind.CLEAR, name, None, cause, slot):
            self._store.forget_evidence(name, *SPEAKING)
            self._preflight.forgive(name)

    # -- observing

    def _look(self, errand: Errand) -> Observation:
        """What lemond holds, seen after this moment; waits while it is silent or slow, but not when nobody listens."""
        asked = self._clock()
        deadline = asked.tick + errand.wait_s
        while (left := deadline - self._clock().tick) > 0:
            errand.check()
            if self._observer.stopped:
                raise errors.error("system.stopping", "hal0 is shutting down", retry_after=5)
            snapshot = self._observer.after(asked, min(left, LOOK_S), fresh=False)
            if snapshot is not None and snapshot.seen.fresh:
                return snapshot.seen
            if snapshot is not None and _absent(snapshot):
                break
            asked = snapshot.seen.taken if snapshot is not None else asked
        raise errors.error("lemonade.unavailable", "Lemonade does not answer", retry_after=5)


CONFIRM = Errand(Cause(), CONFIRM_S)


def _absent(snapshot: Snapshot) -> bool:
    return snapshot.seen.link is snapshot.seen.link.DOWN
