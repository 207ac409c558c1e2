"""Requests for the NPU's shadows: which are for them, and the address of the process that serves them."""

from __future__ import annotations

from collections.abc import Sequence

from hal0app import errors
from hal0app.core.endpoints import Endpoint
from hal0app.core.npu import is_shadow
from hal0app.core.routing import ToSlot, resolve
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import SlotType

TRANSCRIPTIONS = Endpoint("audio/transcriptions", SlotType.TRANSCRIPTION)


def base_url(backend_url: str) -> str:
    """The address of the FastFlowLM process, to which `/v1/...` is added: lemond's ends in /v1 in some versions."""
    return backend_url.rstrip("/").removesuffix("/v1")


def claims(name: str, slots: Sequence[SlotConfig]) -> bool:
    """Whether a transcription that names `name` (empty: the default) is for a shadow."""
    try:
        route = resolve(name, SlotType.TRANSCRIPTION, slots)
    except errors.Hal0Error:
        return False
    return isinstance(route, ToSlot) and is_shadow(route.slot)


def unavailable(slot: SlotConfig) -> errors.Hal0Error:
    """There is no chat model on the NPU that could serve the shadow."""
    message = f"slot '{slot.name}' needs a chat model on the NPU: enable a slot of type llm with device npu and a model"
    return errors.error("npu.trio_unavailable", message, retry_after=10)
