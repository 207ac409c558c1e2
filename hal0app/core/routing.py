"""Dispatch decisions: which slot, or lemond itself, serves a request that names `model`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hal0app import errors
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import SlotType

PREFIX = "hal0/"


@dataclass(frozen=True)
class ToSlot:
    """Served by a slot."""

    slot: SlotConfig


@dataclass(frozen=True)
class ToFallback:
    """Served by lemond itself, for no slot claims the model."""

    model: str


Route = ToSlot | ToFallback


def resolve(model: str, type_: SlotType, slots: Sequence[SlotConfig]) -> Route:
    """Where a request goes: slot name, then an enabled slot's model id, then the type's default for an empty model.

    Raises `model.type_mismatch` when the named slot serves another type (naming slots that fit) and
    `request.missing_field` when no model is named and the type has no default slot.
    """
    if not model:
        return ToSlot(_default(type_, slots))
    named = _named(model, slots)
    if named is not None:
        return ToSlot(_fitting(named, type_, slots))
    holding = [slot for slot in slots if slot.enabled and slot.model == model]
    fitting = sorted((slot for slot in holding if slot.type is type_), key=lambda slot: (not slot.default, slot.name))
    if fitting:
        return ToSlot(fitting[0])
    if holding:
        _fitting(holding[0], type_, slots)
    return ToFallback(model)


def _named(model: str, slots: Sequence[SlotConfig]) -> SlotConfig | None:
    name = model.removeprefix(PREFIX)
    return next((slot for slot in slots if slot.name == name), None)


def _fitting(slot: SlotConfig, type_: SlotType, slots: Sequence[SlotConfig]) -> SlotConfig:
    if slot.type is type_:
        return slot
    fitting = ", ".join(names_of_type(type_, slots)) or "none is set up"
    message = f"slot '{slot.name}' serves {slot.type}, this endpoint needs {type_}; slots that fit: {fitting}"
    raise errors.error("model.type_mismatch", message, param="model")


def _default(type_: SlotType, slots: Sequence[SlotConfig]) -> SlotConfig:
    fitting = [slot for slot in slots if slot.type is type_ and slot.enabled]
    chosen = next((slot for slot in fitting if slot.default), None)
    if chosen is None:
        names = ", ".join(slot.name for slot in fitting) or "none is set up"
        message = f"name a model: no slot is the default for {type_}; slots that fit: {names}"
        raise errors.error("request.missing_field", message, param="model")
    return chosen


def names_of_type(type_: SlotType, slots: Sequence[SlotConfig]) -> list[str]:
    """The names of the slots of a type, sorted."""
    return sorted(slot.name for slot in slots if slot.type is type_)


def no_route(model: str, slots: Sequence[SlotConfig], downloaded: Collection[str]) -> errors.Hal0Error:
    """The 404 for a model nobody knows, listing what was considered."""
    names = sorted(slot.name for slot in slots)
    message = (
        f"no slot and no model is called '{model}'. Slots: {', '.join(names) or 'none'}. "
        f"Models on this machine: {', '.join(sorted(downloaded)[:20]) or 'none'}. See GET /v1/models"
    )
    return errors.error("dispatch.no_route", message, param="model", slots=names, models=sorted(downloaded))
