"""The NPU: one chat model at a time, whose FastFlowLM process serves chat, embeddings and transcription together.

The chat slot (type llm, device npu) is what is loaded. The slots of the other two types with device npu are its
shadows: lemond does not load them, so they are there exactly when the chat model is. docs/npu.md has the facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hal0app.core.reconcile import Slot
from hal0app.core.residency import Observation, Resident
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device, SlotType

if TYPE_CHECKING:
    from hal0app.core.model import Model

FLM = "flm"  # lemond's recipe
SHADOW_TYPES = frozenset({SlotType.EMBEDDING, SlotType.TRANSCRIPTION})


def is_chat(slot: SlotConfig) -> bool:
    """Whether the slot wants the NPU for itself."""
    return slot.enabled and slot.device is Device.NPU and slot.type is SlotType.LLM


def is_shadow(slot: SlotConfig) -> bool:
    """Whether the slot is served by the process of the NPU's chat model."""
    return slot.device is Device.NPU and slot.type in SHADOW_TYPES


def conflicts(slot: SlotConfig, others: Iterable[SlotConfig]) -> list[str]:
    """The slots that want the NPU already, if `slot` wants it."""
    return sorted(one.name for one in others if is_chat(one) and one.name != slot.name) if is_chat(slot) else []


def carrier(slot: SlotConfig, slots: Iterable[Slot]) -> SlotConfig | None:
    """The chat slot that brings a shadow; None for any other slot, or when there is none with a model."""
    if not is_shadow(slot):
        return None
    chats = [one for one in slots if isinstance(one, SlotConfig) and is_chat(one) and one.model]
    return min(chats, key=lambda one: one.name, default=None)


def carried(slots: Sequence[Slot], seen: Observation) -> list[Slot]:
    """The slots with every shadow naming what it depends on: the chat slot's model and load options."""
    return [_carried(slot, slots, seen) for slot in slots]


def _carried(slot: Slot, slots: Sequence[Slot], seen: Observation) -> Slot:
    chat = carrier(slot, slots) if isinstance(slot, SlotConfig) else None
    resident = seen.resident(chat.model) if chat else None
    if chat is None or not isinstance(slot, SlotConfig) or (resident is not None and resident.recipe != FLM):
        return slot
    return replace(
        slot,
        model=chat.model,
        ctx_size=chat.ctx_size,
        llamacpp_args=chat.llamacpp_args,
        max_in_flight=chat.max_in_flight,
    )


def holder(seen: Observation) -> Resident | None:
    """The chat model that holds the NPU now."""
    return next((one for one in seen.residents if one.recipe == FLM and one.type == SlotType.LLM), None)


def _in_the_way(model: Model, seen: Observation) -> Resident | None:
    now = holder(seen) if model.recipe == FLM and model.type is SlotType.LLM else None
    return now if now is not None and now.model != model.id else None


def victims(
    model: Model, seen: Observation, protected: Collection[str], leaving: Collection[Resident]
) -> list[Resident]:
    """Who must leave the NPU before `model` is loaded; never a pinned one, which lemond would not spare."""
    one = _in_the_way(model, seen)
    return [one] if one is not None and not one.pinned and one.model not in protected and one not in leaving else []


def busy(model: Model, seen: Observation, leaving: Iterable[Resident]) -> str | None:
    """The model that holds the NPU and does not leave it for `model`."""
    one = _in_the_way(model, seen)
    return one.model if one is not None and one.model not in {left.model for left in leaving} else None


def swap_status(slots: Iterable[SlotConfig], seen: Observation) -> dict[str, Any]:
    """Whether the NPU is on its way from one chat model to another; a first load is no swap."""
    chat = min((one for one in slots if is_chat(one) and one.model), key=lambda one: one.name, default=None)
    now = holder(seen)
    swapping = chat is not None and now is not None and now.model != chat.model
    return {
        "in_progress": swapping,
        "from_model": now.model if now and swapping else None,
        "to_model": chat.model if chat and swapping else None,
    }
