"""What a slot can serve: Lemonade's model types, and the model labels that set them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class SlotType(StrEnum):
    """The type of a slot or a model, in Lemonade's words; the value is what goes over the wire."""

    LLM = "llm"
    EMBEDDING = "embedding"
    RERANKING = "reranking"
    TRANSCRIPTION = "transcription"
    TTS = "tts"
    IMAGE = "image"


class Device(StrEnum):
    """Where a slot's model runs."""

    GPU_ROCM = "gpu-rocm"
    GPU_VULKAN = "gpu-vulkan"
    CPU = "cpu"
    NPU = "npu"


# lemonade-contract.md section 5: the labels of `/v1/models` that decide a model's type; none of them means llm.
TYPE_OF_LABEL: dict[str, SlotType] = {
    "embeddings": SlotType.EMBEDDING,
    "embedding": SlotType.EMBEDDING,
    "reranking": SlotType.RERANKING,
    "transcription": SlotType.TRANSCRIPTION,
    "tts": SlotType.TTS,
    "image": SlotType.IMAGE,
}


def type_of_labels(labels: Iterable[str]) -> SlotType:
    """The type that a model's labels give it."""
    for label in labels:
        if label in TYPE_OF_LABEL:
            return TYPE_OF_LABEL[label]
    return SlotType.LLM
