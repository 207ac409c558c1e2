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


class OtherType(StrEnum):
    """Types of models that Lemonade serves and no slot does, in Lemonade's words."""

    CLASSIFICATION = "classification"
    AUDIO_GENERATION = "audio-generation"
    MESH = "mesh"


ModelType = SlotType | OtherType


class Device(StrEnum):
    """Where a slot's model runs."""

    GPU_ROCM = "gpu-rocm"
    GPU_VULKAN = "gpu-vulkan"
    CPU = "cpu"
    NPU = "npu"


# lemonade-contract.md section 5: the labels of `/v1/models` that decide a model's type.
TYPE_OF_LABEL: dict[str, ModelType] = {
    "embeddings": SlotType.EMBEDDING,
    "embedding": SlotType.EMBEDDING,
    "reranking": SlotType.RERANKING,
    "transcription": SlotType.TRANSCRIPTION,
    "tts": SlotType.TTS,
    "image": SlotType.IMAGE,
    "audio-generation": OtherType.AUDIO_GENERATION,
    "classification": OtherType.CLASSIFICATION,
    "classifier": OtherType.CLASSIFICATION,
    "3d": OtherType.MESH,
}


def type_of_labels(labels: Iterable[str]) -> ModelType:
    """The type that a model's labels give it; llm when none does."""
    for label in labels:
        if label in TYPE_OF_LABEL:
            return TYPE_OF_LABEL[label]
    return SlotType.LLM
