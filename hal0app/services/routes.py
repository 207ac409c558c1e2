"""Where a request goes as things stand now: the slot, and the model that has to be resident for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hal0app.core import npu, npu_route, routing
from hal0app.core.endpoints import Endpoint
from hal0app.core.slot import guard
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import ModelType
from hal0app.services.ask import Ask
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Want
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import Client


class _Known(NamedTuple):
    """What was found out by one snapshot: the next may tell otherwise."""

    snapshot: Snapshot
    slots: dict[tuple[Any, ModelType, str | None], routing.ToSlot]
    wants: dict[str, Want]  # by the slot's name


class Routes:
    """Routes by the slots and the models there are. `implicit_pull`: what a request names may be downloaded."""

    def __init__(
        self,
        observer: Observer,
        catalogue: Catalogue,
        aliases: Mapping[str, str] = routing.NO_ALIASES,
        implicit_pull: bool = False,
    ) -> None:
        self._observer, self._catalogue = observer, catalogue
        self.aliases, self.implicit_pull = aliases, implicit_pull
        self._known = _Known(observer.snapshot, {}, {})

    def of(self, endpoint: Endpoint, ask: Ask) -> routing.Route:
        """Which slot or model serves it. Raises what `routing.resolve` does."""
        known, asked = self._now(), (ask.payload.get("model"), endpoint.type, ask.port_slot)
        slot = known.slots.get(asked)
        if slot is not None:
            return slot
        name = str(ask.payload.get("model") or "")
        route = routing.resolve(name, endpoint.type, known.snapshot.slots, self.aliases, ask.port_slot)
        if isinstance(route, routing.ToSlot):  # of these there are only so many
            known.slots[asked] = route
        return route

    def _now(self) -> _Known:
        known = self._known
        if known.snapshot is not self._observer.snapshot:
            known = self._known = _Known(self._observer.snapshot, {}, {})
        return known

    def want(self, route: routing.Route, endpoint: Endpoint, client: Client) -> Want | None:
        """What serves the route now; None when its model has to be downloaded first and may be.

        Raises the slot's refusal; for a model what `Catalogue.find` does, `dispatch.no_route`, `model.type_mismatch`,
        `model.not_downloaded`.
        """
        if isinstance(route, routing.ToSlot):
            return self.of_slot(route.slot)
        return self._of_model(route, endpoint, client)

    def of_slot(self, slot: SlotConfig) -> Want:
        """What serves a request to the slot. Raises the slot's refusal: off, empty, in error, without its NPU."""
        known = self._now()
        want = known.wants.get(slot.name)
        if want is None or want.asked is not slot:
            want = known.wants[slot.name] = self._found(slot, known.snapshot)
        return want

    def _found(self, slot: SlotConfig, snapshot: Snapshot) -> Want:
        record = snapshot.record(slot.name)
        refused = guard("serve", record)
        chat = npu.carrier(slot, snapshot.configs)
        if npu.is_shadow(slot) and slot.enabled and chat is None:
            raise npu_route.unavailable(slot)
        if not slot.enabled or (chat or slot).model is None:
            refused = refused or ("slot.no_model" if slot.enabled else "slot.disabled")
        if refused is not None:
            raise routing.refused(refused, slot.name, record.message)
        return Want(chat.model or "", chat, slot) if chat else Want(slot.model or "", slot)

    def _of_model(self, route: routing.ToFallback, endpoint: Endpoint, client: Client) -> Want | None:
        """The model as Lemonade has it."""
        name = route.model
        model, slots = self._catalogue.find(name, client), self._observer.snapshot.slots
        if model is None:
            raise routing.no_route(name, slots, {one.id for one in self._catalogue.models()}, route.alias)
        if model.type is not endpoint.type:
            raise routing.type_mismatch(f"'{name}' is a model for {model.type}", endpoint.type, slots)
        if model.id != name:  # by another name than the listed one, it may be a slot's all the same
            meant = routing.resolve(model.id, endpoint.type, slots)
            if isinstance(meant, routing.ToSlot) and meant.slot.model == model.id:
                return self.of_slot(meant.slot)
        if model.downloaded:
            return Want(model.id)
        if self.implicit_pull:
            return None
        raise routing.not_downloaded(name)
