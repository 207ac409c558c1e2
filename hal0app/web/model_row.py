"""The models page's rows: one a model, wherever it is, and which of those offered fit this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from hal0app.core.backends import NAMES
from hal0app.core.download import Download
from hal0app.core.model import Model
from hal0app.core.request_record import Use
from hal0app.core.slot_type import SlotType
from hal0app.services.models import ModelView
from hal0app.services.stock import Shelves

GB = 1000**3
QUANT = re.compile(r"(?:^|[-_.:/])((?:IQ|Q)\d[A-Z0-9_]*|BF16|F16|F32|FP16|MXFP4)(?=$|[-_.])", re.IGNORECASE)
FITS = 0.75  # of the memory: the rest is for the context and everything else
SUGGESTIONS = 5


@dataclass(frozen=True)
class ModelRow:
    """One model. `state`: Loaded | On disk | Downloading | Partial | Not on disk | Available."""

    name: str
    type: str
    state: str
    size_gb: float | None = None
    quant: str = ""
    slots: tuple[str, ...] = ()
    pinned: bool = False
    recipe: str = ""
    deletable: bool = False
    last_used: int | None = None  # Unix seconds, of the answers on record
    lately: int = 0  # answers of the last hour

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        return self.state in {"Loaded", "On disk"}

    @property
    def query(self) -> str:
        """The part of an address that names it."""
        return urlencode({"model": self.name})


def model_rows(shelves: Shelves) -> list[ModelRow]:
    """Every model that is here, that a slot names, or that Lemonade offers."""
    partial = {_bare(one.download.name): one.download for one in shelves.downloads if one.download.type == "model"}
    rows = [_row(view, partial.get(_bare(view.model.id)), shelves.uses.get(view.model.id)) for view in shelves.models]
    known = {_bare(row.name) for row in rows}
    offered = [
        _offered(model, partial.get(_bare(model.id))) for model in shelves.offered if _bare(model.id) not in known
    ]
    known |= {_bare(row.name) for row in offered}
    coming = [
        ModelRow(one.name, "", _on_its_way(one))
        for name, one in partial.items()
        if name not in known and not _over(one)
    ]
    return rows + offered + coming


def _bare(name: str) -> str:
    """The name as Lemonade lists a model of a person's own, which downloads call `user.NAME`."""
    return name.removeprefix("user.")


def _over(download: Download) -> bool:
    """Whether nothing is left to go on with."""
    return download.status == "completed" or (download.status == "cancelled" and not download.done_bytes)


def _on_its_way(download: Download) -> str:
    return "Downloading" if download.running else "Partial"


def _row(view: ModelView, download: Download | None, use: Use | None) -> ModelRow:
    model = view.model
    state = "Loaded" if view.resident else "On disk" if model.downloaded else "Not on disk"
    if download is not None and not _over(download) and not view.resident:
        state = _on_its_way(download)
    return ModelRow(
        name=model.id,
        type=model.type,
        state=state,
        size_gb=model.size_gb,
        quant=quant(model.checkpoint or model.id),
        slots=view.slots,
        pinned=bool(view.resident and view.resident.pinned),
        recipe=NAMES.get(model.recipe, model.recipe),
        deletable=model.downloaded and not model.local,
        last_used=int(use.last) if use else None,
        lately=use.lately if use else 0,
    )


def _offered(model: Model, download: Download | None) -> ModelRow:
    state = _on_its_way(download) if download is not None and not _over(download) else "Available"
    recipe = NAMES.get(model.recipe, model.recipe)
    return ModelRow(model.id, model.type, state, model.size_gb, quant(model.checkpoint or model.id), recipe=recipe)


def quant(text: str) -> str:
    """The quantisation that a name tells; empty when it does not."""
    found = QUANT.findall(text)
    return found[-1].upper() if found else ""


def fitting(shelves: Shelves, memory: int | None) -> list[ModelRow]:
    """Chat models that Lemonade recommends and `memory` bytes hold with room to work, largest first."""
    if not memory:
        return []
    room_gb = memory * FITS / GB
    offered = [
        one for one in shelves.offered if one.type is SlotType.LLM and one.recipe == "llamacpp" and one.suggested
    ]
    held = [one for one in offered if one.size_gb and one.size_gb <= room_gb]
    return [_offered(one, None) for one in sorted(held, key=lambda one: -(one.size_gb or 0))[:SUGGESTIONS]]
