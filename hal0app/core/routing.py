"""Dispatch decisions: which slot, or lemond itself, serves a request that names `model`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hal0app import errors
from hal0app.core.slot import Broken
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import ModelType

PREFIX = "hal0/"
NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ToSlot:
    """Served by a slot."""

    slot: SlotConfig


@dataclass(frozen=True)
class ToFallback:
    """Served by lemond itself, for no slot claims the model. `alias`: what it was called, when by another name."""

    model: str
    alias: str = ""


Route = ToSlot | ToFallback


def resolve(
    model: str,
    type_: ModelType,
    slots: Sequence[SlotConfig | Broken],
    aliases: Mapping[str, str] = NO_ALIASES,
    port_slot: str | None = None,
) -> Route:
    """Where a request goes: the slot of the port it came in on, a slot's name, an enabled slot's model id, an alias
    of one of these, the type's default slot for an empty model, lemond.

    Raises `model.type_mismatch` when the slot serves another type (naming slots that fit), `slot.error` when its
    definition is not valid, `request.missing_field` when no model is named and the type has no default slot.
    """
    if port_slot is not None:
        return ToSlot(_fitting(_named(port_slot, slots), type_, slots))
    if not model:
        return ToSlot(_default(type_, slots))
    meant = aliases.get(model, model)
    slot = _claimed(model, type_, slots) or _claimed(meant, type_, slots)
    return ToSlot(slot) if slot else ToFallback(meant, model if model != meant else "")


def claimant(
    model: str, slots: Sequence[SlotConfig | Broken], aliases: Mapping[str, str], port_slot: str | None = None
) -> SlotConfig | Broken | None:
    """The slot that a request is for, whatever speaks against it; None when no name says so."""
    if port_slot is not None:
        return _named(port_slot, slots)
    for name in (model, aliases.get(model)):
        if name and (found := _named(name, slots) or next(iter(_holding(name, slots)), None)):
            return found
    return None


def _claimed(model: str, type_: ModelType, slots: Sequence[SlotConfig | Broken]) -> SlotConfig | None:
    """The slot that answers to this name, or has this model."""
    if named := _named(model, slots):
        return _fitting(named, type_, slots)
    holding = _holding(model, slots)
    fitting = [slot for slot in holding if slot.type is type_]
    return next(iter(fitting or [_fitting(slot, type_, slots) for slot in holding]), None)


def _holding(model: str, slots: Sequence[SlotConfig | Broken]) -> list[SlotConfig]:
    """The enabled slots with this model, a default one first."""
    holding = [slot for slot in _valid(slots) if slot.enabled and slot.model == model]
    return sorted(holding, key=lambda slot: (not slot.default, slot.name))


def _valid(slots: Sequence[SlotConfig | Broken]) -> list[SlotConfig]:
    return [slot for slot in slots if isinstance(slot, SlotConfig)]


def _named(model: str, slots: Sequence[SlotConfig | Broken]) -> SlotConfig | Broken | None:
    name = model.removeprefix(PREFIX)
    return next((slot for slot in slots if slot.name == name), None)


def _fitting(slot: SlotConfig | Broken | None, type_: ModelType, slots: Sequence[SlotConfig | Broken]) -> SlotConfig:
    if isinstance(slot, Broken):
        raise errors.error("slot.error", f"slot '{slot.name}' is not valid: {slot.problem}", param="model")
    assert slot is not None
    if slot.type is type_:
        return slot
    raise type_mismatch(f"slot '{slot.name}' serves {slot.type}", type_, slots)


def type_mismatch(what: str, type_: ModelType, slots: Sequence[SlotConfig | Broken]) -> errors.Hal0Error:
    """The refusal of an endpoint that needs another type, naming the slots that fit."""
    fitting = ", ".join(names_of_type(type_, slots)) or "none is set up"
    return errors.error(
        "model.type_mismatch", f"{what}, this endpoint needs {type_}; slots that fit: {fitting}", param="model"
    )


def _default(type_: ModelType, slots: Sequence[SlotConfig | Broken]) -> SlotConfig:
    chosen = next((slot for slot in _valid(slots) if slot.type is type_ and slot.enabled and slot.default), None)
    if chosen is None:
        names = ", ".join(names_of_type(type_, slots)) or "none is set up"
        message = f"name a model: no slot is the default for {type_}; slots that fit: {names}"
        raise errors.error("request.missing_field", message, param="model")
    return chosen


def names_of_type(type_: ModelType, slots: Sequence[SlotConfig | Broken]) -> list[str]:
    """The names of the slots of a type that are on and have a model, sorted."""
    return sorted(slot.name for slot in _valid(slots) if slot.type is type_ and slot.enabled and slot.model)


def no_route(
    model: str, slots: Sequence[SlotConfig | Broken], downloaded: Collection[str], alias: str = ""
) -> errors.Hal0Error:
    """The 404 for a model nobody knows, listing what was considered."""
    names = sorted(slot.name for slot in slots)
    called = f"'{model}', which '{alias}' stands for" if alias else f"'{model}'"
    message = (
        f"no slot and no model is called {called}. Slots: {', '.join(names) or 'none'}. "
        f"Models on this machine: {', '.join(sorted(downloaded)[:20]) or 'none'}. See GET /v1/models"
    )
    return errors.error("dispatch.no_route", message, param="model", slots=names, models=sorted(downloaded))


# What a person can do about a slot that does not serve.
NEXT: Mapping[str, str] = MappingProxyType(
    {
        "slot.disabled": "Turn it on: hal0 slots edit {slot} enabled=true",
        "slot.no_model": "Choose one: hal0 slots edit {slot} model=MODEL",
        "slot.error": "When that is mended: hal0 slots load {slot}",
    }
)


def refused(code: str, slot: str, why: str) -> errors.Hal0Error:
    """The refusal of a slot that cannot serve as it is, with what to do about it."""
    message = f"slot '{slot}': {why.rstrip('.')}. {NEXT[code].format(slot=slot)}, or in the dashboard"
    return errors.error(code, message, param="model")


def not_downloaded(model: str) -> errors.Hal0Error:
    """The 409 for a model that lemond would download in the middle of the request."""
    message = f"'{model}' is not on this machine. Pull it first: hal0 models pull {model}, or POST /api/models/pull"
    return errors.error("model.not_downloaded", message, param="model")
