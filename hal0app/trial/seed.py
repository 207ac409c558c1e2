"""The slots of a first run: one for each type that some model can serve."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal0app.adapters.slot_files import SlotFiles
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device, SlotType, type_of_labels

NAMES = {SlotType.LLM: "primary", SlotType.EMBEDDING: "embed", SlotType.RERANKING: "rerank"}


@dataclass(frozen=True)
class Seeded:
    """A slot as a person sees it listed."""

    name: str
    type: str
    model: str | None


def seed(folder: Path, models: list[dict[str, Any]], device: Device | None) -> None:
    """Write the first slots into `folder`, all or none, unless it exists: it belongs to the user from then on.

    `models` are the entries of lemond's `GET /v1/models`. `device` None leaves the choice to hal0.
    """
    chosen = _first_of_each_type(models)
    if folder.exists() or not chosen:
        return
    draft = folder.with_name(".slots.draft")
    shutil.rmtree(draft, ignore_errors=True)
    files = SlotFiles(draft)
    for kind, model in chosen.items():
        files.write(NAMES[kind], _definition(kind, model, device))
    draft.rename(folder)


def _first_of_each_type(models: list[dict[str, Any]]) -> dict[SlotType, str]:
    chosen: dict[SlotType, str] = {}
    for model in models:
        kind = type_of_labels(model.get("labels") or ())
        if isinstance(kind, SlotType) and kind in NAMES:
            chosen.setdefault(kind, str(model["id"]))
    return {kind: chosen[kind] for kind in NAMES if kind in chosen}


def _definition(kind: SlotType, model: str, device: Device | None) -> dict[str, Any]:
    where = {} if device is None else {"device": device.value}
    return {"type": kind.value, **where, "model": model, "default": True}


def listed(folder: Path) -> list[Seeded]:
    """The slots that are defined now, by name; a broken definition is not among them."""
    slots = SlotFiles(folder).all() if folder.exists() else []
    return [Seeded(slot.name, slot.type.value, slot.model) for slot in slots if isinstance(slot, SlotConfig)]
