"""Requests for the NPU's shadows: the address of the process that serves them, and its absence."""

from __future__ import annotations

from hal0app import errors
from hal0app.core.slot_config import SlotConfig


def base_url(backend_url: str) -> str:
    """The address of the FastFlowLM process, to which `/v1/...` is added: lemond's ends in /v1 in some versions."""
    return backend_url.rstrip("/").removesuffix("/v1")


def unavailable(slot: SlotConfig) -> errors.Hal0Error:
    """There is no chat model on the NPU that could serve the shadow."""
    message = f"slot '{slot.name}' needs a chat model on the NPU: enable a slot of type llm with device npu and a model"
    return errors.error("npu.trio_unavailable", message, retry_after=10)
