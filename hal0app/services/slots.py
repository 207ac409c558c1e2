"""The slots as people and programs handle them: list, define, change, delete, load, unload, swap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hal0app import errors
from hal0app.core import loaded, npu, npu_route, slot_ports
from hal0app.core.clock import Clock, Moment
from hal0app.core.journal import Entry
from hal0app.core.loaded import Difference
from hal0app.core.quarantine import FOREIGN
from hal0app.core.reconcile import Slot
from hal0app.core.residency import Resident
from hal0app.core.schema import SchemaError
from hal0app.core.settings import merge
from hal0app.core.settlement import unreadable
from hal0app.core.slot import Broken, Record, State, guard
from hal0app.core.slot_config import NAME, NAME_RULE, SlotConfig, read_slot
from hal0app.core.vitals import UNKNOWN, Vitals
from hal0app.services.control import Control, Want
from hal0app.services.jobs import Job
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import SlotFolder, States
from hal0app.services.quarantines import Quarantines
from hal0app.services.turn import NOBODY, Call

SEEDED = frozenset({"primary", "embed", "rerank", "stt", "tts", "img", "agent", "stt-npu", "embed-npu"})
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


class Slots:
    """Reads come from the observer's snapshot; changes go to the files and to the control worker.

    `vitals` tells at once how a slot, with its resident if it is loaded, fares.
    """

    def __init__(
        self,
        files: SlotFolder,
        observer: Observer,
        control: Control,
        leases: Leases,
        store: States,
        clock: Clock,
        quarantines: Quarantines,
        ports: Sequence[int] = (),
    ) -> None:
        self._files, self._observer, self._control, self._ports = files, observer, control, ports
        self._leases, self._store, self._clock, self._quarantines = leases, store, clock, quarantines
        self._writing = threading.Lock()
        self.vitals: Callable[[str, Resident | None], Vitals] = lambda slot, resident: UNKNOWN

    # -- reading

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

    def etag(self, name: str) -> str:
        """What changes with the slot's definition."""
        return self._files.etag(self.one(name).slot.name) or ""

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

    # -- definitions

    def _files_now(self) -> list[Slot]:
        """The slots as the files have them. Raises `system.slots_unreadable`: then nothing is to be written either."""
        try:
            return list(self._files.all())
        except OSError as problem:
            raise errors.error("system.slots_unreadable", unreadable(problem)) from problem

    def create(self, definition: Mapping[str, Any], agent: str | None = None) -> SlotView:
        """Make a new slot, with a port of its own. Raises `slot.invalid`, `slot.exists`, `slot.no_free_port`,
        `slot.port_taken`; nothing is written then."""
        name = definition.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise errors.error("slot.invalid", f"'name' is not a slot name: {NAME_RULE}", param="name")
        with self._writing:
            self._files_now()
            if self._files.definition(name) is not None:
                raise errors.error("slot.exists", f"there is a slot '{name}' already; PATCH changes it", param="name")
            given = {key: value for key, value in definition.items() if key != "name" and value is not None}
            given.setdefault("port", slot_ports.ANY)
            self._write(name, given, "created", agent)
        return self.one(name)

    def change(self, name: str, changes: Mapping[str, Any], if_match: str | None, agent: str | None = None) -> SlotView:
        """Lay `changes` over the definition (null takes a key out).

        Raises `slot.not_found`, `slot.invalid`, `slot.exists` (a rename), `request.conflict`.
        """
        with self._writing:
            current = self._current(name, if_match)
            merged = {key: value for key, value in merge(current, changes).items() if value is not None}
            self._write(name, merged, "changed", agent)
        return self.one(name)

    def replace(self, name: str, definition: Mapping[str, Any], if_match: str | None, agent: str | None) -> SlotView:
        """Make `definition` the whole definition of a slot that exists. Raises as `change`."""
        with self._writing:
            self._current(name, if_match)
            self._write(name, {key: value for key, value in definition.items() if value is not None}, "changed", agent)
        return self.one(name)

    def delete(self, name: str, if_match: str | None, agent: str | None = None) -> None:
        """Delete the slot; its model stays where it is. Raises `slot.seeded`, `slot.not_found`."""
        with self._writing:
            self._current(name, if_match)
            if name in SEEDED:
                message = f"'{name}' belongs to hal0's own slots; turn it off instead (PATCH enabled = false)"
                raise errors.error("slot.seeded", message)
            self._files.remove(name)
        self._tell(name, "deleted", agent)

    def _current(self, name: str, if_match: str | None) -> dict[str, Any]:
        self._files_now()
        current = self._files.definition(name) if NAME.fullmatch(name) else None
        if current is None:
            self.one(name)
            current = {}
        if if_match and if_match.strip('"') not in {"*", self._files.etag(name)}:
            raise errors.error("request.conflict", f"slot '{name}' changed since you read it; read it again")
        return current

    def _write(self, name: str, definition: dict[str, Any], verb: str, agent: str | None) -> None:
        slot = _checked(name, definition)
        others = [one for one in self._files_now() if isinstance(one, SlotConfig) and one.name != name]
        if definition.get("port") == slot_ports.ANY:
            definition = slot_ports.assigned(definition, others, self._ports)
            slot = _checked(name, definition)
        if slot.port != (self._files.definition(name) or {}).get("port", slot_ports.ANY):
            slot_ports.check(slot, others, self._ports)
        _agree(slot, others)
        _exclusive(slot, others)
        definition = {key: value for key, value in definition.items() if key not in {"name", "model"}}
        try:
            self._files.write(name, {**definition, **({"model": slot.model} if slot.model else {})})
            for one in others:
                if slot.default and one.default and one.type is slot.type:
                    self._files.write(one.name, {**(self._files.definition(one.name) or {}), "default": False})
        except OSError as problem:
            raise errors.error("system.storage", f"slot '{name}' could not be written: {problem}") from problem
        self._tell(name, verb, agent)

    def _tell(self, name: str, verb: str, agent: str | None) -> None:
        now = self._clock()
        entry = Entry(now.wall, "slot.config", f"slot {name} was {verb}", slot=name, agent=agent)
        self._store.write_journal([entry])
        self._observer.after(now, 5.0, fresh=False)

    # -- acts

    def load(self, name: str, who: str) -> Job:
        """Start or join the slot's load, whatever failed before. Raises what speaks against it."""
        want = self._want(name, "load")
        self._forgive(want, who, failed=self.one(name).record.state is State.ERROR)
        return self._control.load(want, who)

    def _forgive(self, want: Want, who: str, failed: bool) -> None:
        """A person who wants the model loaded wants it tried."""
        if failed or self._quarantines.refusal(want.model, want.slot) is not None:
            self._control.clear(want, who)

    def cancel(self, name: str, who: str) -> None:
        """End the slot's load or swap that waits for another one. Raises `slot.not_waiting`."""
        self._control.cancel(self._want(name, "load"), who)

    def keep(self, name: str, who: str) -> SlotView:
        """Make the definition say what lemond runs. Raises `slot.no_model` where the model is not loaded."""
        view = self.one(name)
        if view.resident is None:
            raise errors.error("slot.no_model", f"'{name}' is not loaded now, so there is nothing to keep")
        return self.change(name, loaded.as_it_runs(view.differences), None, who)

    def unload(self, name: str, who: str, force: bool = False) -> Job:
        """Start or join the slot's unload; its requests end first.

        A model that another enabled slot has too stays loaded, unless `force`.
        """
        want = self._want(name, "unload")
        serving = [one for one in self._observer.snapshot.configs if one.enabled and not npu.is_shadow(one)]
        sharing = [one.name for one in serving if one.model == want.model]
        others = () if force else tuple(one for one in sharing if one != name)
        return self._control.unload(want, who, others)

    def restart(self, name: str, who: str) -> Job:
        """Unload and load again, whatever failed before."""
        want = self._want(name, "load")
        self._forgive(want, who, failed=self.one(name).record.state is State.ERROR)
        return self._control.restart(want, who)

    def clear(self, name: str, who: str) -> SlotView:
        """Forget old failures, so that requests may try the model again."""
        asked = self._clock()
        self._control.clear(self._want(name, "load"), who)
        self._observer.after(asked, 5.0, fresh=False)
        return self.one(name)

    def swap(self, name: str, model: str, who: str) -> Job:
        """Put another model in: it is kept only if it loads, else the old one comes back."""
        want = self._want(name, "unload")
        assert want.slot is not None
        if want.shadow is not None:
            message = (
                f"slot '{name}' is served by the NPU's chat model: swap '{want.slot.name}', or PATCH the slot's model"
            )
            raise errors.error("request.invalid_field", message, param="model")
        self._files_now()
        changed = _checked(name, {**(self._files.definition(name) or {}), "model": model})
        configs = [one for one in self._observer.snapshot.configs if one.name != name]
        _agree(changed, configs)
        self._forgive(Want(model, changed), who, failed=False)
        return self._control.swap(
            replace(want, slot=changed), model, who, keep=lambda: self._keep_model(name, model, who)
        )

    def preview(self, name: str, model: str | None) -> dict[str, object]:
        """What loading the slot's model, or swapping to `model`, would do."""
        config = self.one(name).config
        if config is None or not (model or config.model):
            raise errors.error("slot.no_model", f"slot '{name}' has no model; name one with ?model=", param="model")
        changed = _checked(name, {**(self._files.definition(name) or {}), "model": model or config.model})
        return self._control.preview(Want(config.model or "", changed), model or config.model or "")

    def _keep_model(self, name: str, model: str, who: str) -> None:
        with self._writing:
            self._write(name, {**(self._files.definition(name) or {}), "model": model}, f"swapped to {model}", who)

    def _want(self, name: str, command: str) -> Want:
        view = self.one(name)
        config = view.config
        if config is None:
            problem = view.slot.problem if isinstance(view.slot, Broken) else ""
            raise errors.error("slot.invalid", f"slot '{name}': {problem}")
        chat = npu.carrier(config, self._observer.snapshot.configs)
        if npu.is_shadow(config) and config.enabled and chat is None:
            raise npu_route.unavailable(config)
        refused = guard(command, view.record) or (None if (chat or config).model else "slot.no_model")
        if refused is not None:
            raise errors.error(refused, f"slot '{name}': {view.record.message}")
        return Want(chat.model or "", chat, config) if chat else Want(config.model or "", config)


def _differences(slot: Slot, resident: Resident | None, snapshot: Snapshot) -> tuple[Difference, ...]:
    """The load options that the slot's model runs with otherwise than the slot asks; a shadow has none of its own."""
    if resident is None or not isinstance(slot, SlotConfig) or npu.is_shadow(slot):
        return ()
    return loaded.differences(slot, resident, snapshot.operations)


def _exclusive(slot: SlotConfig, others: list[SlotConfig]) -> None:
    """The NPU holds one chat model, so one enabled slot may want it for that."""
    if names := npu.conflicts(slot, others):
        message = f"the NPU serves one chat slot, and {', '.join(names)} is enabled. Turn that off first, or this one"
        raise errors.error("slot.npu_exclusivity_violation", message, param="device", conflicting_slots=names)


def _checked(name: str, definition: Mapping[str, Any]) -> SlotConfig:
    try:
        return read_slot(name, definition)
    except SchemaError as problem:
        raise errors.error("slot.invalid", f"slot '{name}': {problem}", param=problem.key) from None


def _agree(slot: SlotConfig, others: list[SlotConfig]) -> None:
    """Two slots may name one model only with the same load options, or they would reload it for ever."""
    for one in others:
        shared = slot.model is not None and one.model == slot.model
        if shared and one.load_options != slot.load_options:
            message = (
                f"slot '{one.name}' has '{slot.model}' with other load options (ctx_size, llamacpp_args, "
                f"max_in_flight, device); make them equal or choose another model"
            )
            raise errors.error("slot.model_conflict", message, param="model")
