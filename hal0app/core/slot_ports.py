"""The slots' own ports: which one a slot gets, and which it may not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hal0app import errors
from hal0app.core.slot_config import SlotConfig

ANY = 0


def assigned(definition: Mapping[str, Any], others: Iterable[SlotConfig], ports: Sequence[int]) -> dict[str, Any]:
    """The definition with the lowest port of `ports` that no other slot has; without one when there are none.

    Raises `slot.no_free_port`.
    """
    if not ports:
        return {key: value for key, value in definition.items() if key != "port"}
    taken = {one.port: one.name for one in others}
    free = next((port for port in ports if port not in taken), None)
    if free is None:
        message = (
            f"every port from {ports[0]} to {ports[-1]} has a slot; give the slot none (leave 'port' out of a change), "
            "delete a slot, or widen range in [slot_ports] of hal0.toml"
        )
        raise errors.error("slot.no_free_port", message, param="port")
    return {**definition, "port": free}


def check(slot: SlotConfig, others: Iterable[SlotConfig], ports: Sequence[int]) -> None:
    """Raise `slot.port_taken` when another slot has the port, `slot.invalid` when hal0 does not listen on it."""
    if slot.port == ANY:
        return
    holder = next((one.name for one in others if one.port == slot.port), None)
    if holder is not None:
        raise errors.error("slot.port_taken", f"slot '{holder}' has the port {slot.port}", param="port")
    if ports and slot.port not in ports:
        message = f"slot '{slot.name}': 'port' must be from {ports[0]} to {ports[-1]} ([slot_ports] of hal0.toml)"
        raise errors.error("slot.invalid", message, param="port")
