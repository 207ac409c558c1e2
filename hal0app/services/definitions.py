"""The definitions of the slots: files that people and programs change, checked before they are written."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from hal0app import errors
from hal0app.core import npu, slot_ports
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.reconcile import Slot
from hal0app.core.schema import SchemaError
from hal0app.core.settings import merge
from hal0app.core.settlement import unreadable
from hal0app.core.slot_config import NAME, NAME_RULE, SlotConfig, read_slot
from hal0app.services.observer import Observer
from hal0app.services.ports import SlotFolder, States
from hal0app.services.slot_view import SlotView, SlotViews

OPTIONS = ("ctx_size", "llamacpp_args", "max_in_flight", "device")  # in the order of `SlotConfig.load_options`
SEEDED = frozenset({"primary", "embed", "rerank", "stt", "tts", "img", "agent", "stt-npu", "embed-npu"})


class Definitions:
    """Changes go to the files, and are seen by the observer before a change returns. `ports`: those a slot may have."""

    def __init__(
        self,
        files: SlotFolder,
        views: SlotViews,
        observer: Observer,
        store: States,
        clock: Clock,
        ports: Sequence[int] = (),
    ) -> None:
        self._files, self._views, self._observer, self.ports = files, views, observer, ports
        self._store, self._clock = store, clock
        self._writing = threading.Lock()

    def of(self, name: str) -> dict[str, Any]:
        """The definition as its file has it; empty when there is none."""
        return self._files.definition(name) or {}

    def etag(self, name: str) -> str:
        """What changes with the slot's definition."""
        return self._files.etag(self._views.one(name).slot.name) or ""

    def now(self) -> list[Slot]:
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
            self.now()
            if self._files.definition(name) is not None:
                raise errors.error("slot.exists", f"there is a slot '{name}' already; PATCH changes it", param="name")
            given = {key: value for key, value in definition.items() if key != "name" and value is not None}
            given.setdefault("port", slot_ports.ANY)
            self._write(name, given, "created", agent)
        return self._views.one(name)

    def change(self, name: str, changes: Mapping[str, Any], if_match: str | None, agent: str | None = None) -> SlotView:
        """Lay `changes` over the definition (null takes a key out).

        Raises `slot.not_found`, `slot.invalid`, `slot.exists` (a rename), `request.conflict`.
        """
        with self._writing:
            current = self._current(name, if_match)
            merged = {key: value for key, value in merge(current, changes).items() if value is not None}
            self._write(name, merged, "changed", agent)
        return self._views.one(name)

    def replace(self, name: str, definition: Mapping[str, Any], if_match: str | None, agent: str | None) -> SlotView:
        """Make `definition` the whole definition of a slot that exists. Raises as `change`."""
        with self._writing:
            self._current(name, if_match)
            self._write(name, {key: value for key, value in definition.items() if value is not None}, "changed", agent)
        return self._views.one(name)

    def delete(self, name: str, if_match: str | None, agent: str | None = None) -> None:
        """Delete the slot; its model stays where it is. Raises `slot.seeded`, `slot.not_found`."""
        with self._writing:
            self._current(name, if_match)
            if name in SEEDED:
                message = f"'{name}' belongs to hal0's own slots; turn it off instead (PATCH enabled = false)"
                raise errors.error("slot.seeded", message)
            self._files.remove(name)
        self._tell(name, "deleted", agent)

    def put_in(self, name: str, model: str, who: str) -> None:
        """Make `model` the slot's, after a swap. Raises as `change`."""
        with self._writing:
            self._write(name, {**self.of(name), "model": model}, f"swapped to {model}", who)

    def _current(self, name: str, if_match: str | None) -> dict[str, Any]:
        self.now()
        current = self._files.definition(name) if NAME.fullmatch(name) else None
        if current is None:
            self._views.one(name)
            current = {}
        if if_match and not {"*", self._files.etag(name)} & {one.strip().strip('"') for one in if_match.split(",")}:
            raise errors.error("request.conflict", f"slot '{name}' changed since you read it; read it again")
        return current

    def _write(self, name: str, definition: dict[str, Any], verb: str, agent: str | None) -> None:
        slot = checked(name, definition)
        others = [one for one in self.now() if isinstance(one, SlotConfig) and one.name != name]
        if definition.get("port") == slot_ports.ANY:
            definition = slot_ports.assigned(definition, others, self.ports)
            slot = checked(name, definition)
        if slot.port != self.of(name).get("port", slot_ports.ANY):
            slot_ports.check(slot, others, self.ports)
        agree(slot, others)
        _exclusive(slot, others)
        definition = {key: value for key, value in definition.items() if key not in {"name", "model"}}
        try:
            self._files.write(name, {**definition, **({"model": slot.model} if slot.model else {})})
            for one in others:
                if slot.default and one.default and one.type is slot.type:
                    self._files.write(one.name, {**self.of(one.name), "default": False})
        except OSError as problem:
            raise errors.error("system.storage", f"slot '{name}' could not be written: {problem}") from problem
        self._tell(name, verb, agent)

    def _tell(self, name: str, verb: str, agent: str | None) -> None:
        now = self._clock()
        entry = Entry(now.wall, "slot.config", f"slot {name} was {verb}", slot=name, agent=agent)
        self._store.write_journal([entry])
        self._observer.after(now, 5.0, fresh=False)


def _exclusive(slot: SlotConfig, others: list[SlotConfig]) -> None:
    """The NPU holds one chat model, so one enabled slot may want it for that."""
    if names := npu.conflicts(slot, others):
        message = f"the NPU serves one chat slot, and {', '.join(names)} is enabled. Turn that off first, or this one"
        raise errors.error("slot.npu_exclusivity_violation", message, param="device", conflicting_slots=names)


def checked(name: str, definition: Mapping[str, Any]) -> SlotConfig:
    """The slot that a definition makes. Raises `slot.invalid`."""
    try:
        return read_slot(name, definition)
    except SchemaError as problem:
        raise errors.error("slot.invalid", f"slot '{name}': {problem}", param=problem.key) from None


def agree(slot: SlotConfig, others: list[SlotConfig]) -> None:
    """Two slots may name one model only with the same load options, or they would reload it for ever.

    Raises `slot.model_conflict`.
    """
    for one in others:
        shared = slot.model is not None and one.model == slot.model
        if shared and one.load_options != slot.load_options:
            pairs = zip(OPTIONS, one.load_options, slot.load_options, strict=True)
            differing = ", ".join(f"{key} {_said(its)}" for key, its, ours in pairs if its != ours)
            message = (
                f"slot '{one.name}' has '{slot.model}' with other load options ({differing}); "
                f"make them equal or choose another model"
            )
            raise errors.error("slot.model_conflict", message, param="model")


def _said(value: object) -> str:
    return "not set" if value in (None, "") else str(value)
