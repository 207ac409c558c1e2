"""The models page as values: one row a model, one a download, one a backend, and what can be done with each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hal0app.core.backends import NAMES
from hal0app.core.download import Download
from hal0app.core.model import Model
from hal0app.core.request_record import Use
from hal0app.core.slot_type import SlotType
from hal0app.services.models import ModelView
from hal0app.services.stock import Shelves, Underway
from hal0app.web.cards import TYPE_WORDS

GB = 1000**3
MB = 1000**2
QUANT = re.compile(r"(?:^|[-_.:/])((?:IQ|Q)\d[A-Z0-9_]*|BF16|F16|F32|FP16|MXFP4)(?=$|[-_.])", re.IGNORECASE)
LONGEST = 200
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


# -- which of them, in which order

ORDERS = {
    "": (
        "Used first",
        lambda row: (
            not row.pinned,
            row.state != "Loaded",
            not row.slots,
            not row.here,
            -(row.last_used or 0),
            row.name.lower(),
        ),
    ),
    "last": ("Last used", lambda row: (-(row.last_used or 0), -row.lately, row.name.lower())),
    "name": ("Name", lambda row: row.name.lower()),
    "size": ("Size, largest first", lambda row: (-(row.size_gb or 0), row.name.lower())),
    "type": ("Type", lambda row: (row.type, row.name.lower())),
}
WHERE = {"": "Everywhere", "here": "On this machine", "offered": "To download"}


@dataclass(frozen=True)
class Wanted:
    """What the address of the models page asks for."""

    q: str = ""
    type: str = ""
    where: str = ""
    sort: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """From an address; what cannot be is left out."""
        known: dict[str, Mapping[str, Any]] = {"type": TYPE_WORDS, "where": WHERE, "sort": ORDERS}
        given = {key: query.get(key, "").strip()[:LONGEST] for key in cls.__dataclass_fields__}
        return cls(**{key: text if key == "q" or text in known[key] else "" for key, text in given.items()})

    @property
    def query(self) -> str:
        """As the part of an address behind the question mark."""
        return urlencode({key: value for key, value in self.__dict__.items() if value})

    @property
    def any(self) -> bool:
        """Whether anything is left out."""
        return bool(self.q or self.type or self.where)

    def of_rows(self, rows: Iterable[ModelRow]) -> list[ModelRow]:
        """Those that fit, in order."""
        fitting = [row for row in rows if self._fits(row)]
        return sorted(fitting, key=ORDERS[self.sort][1])

    def _fits(self, row: ModelRow) -> bool:
        place = {"": True, "here": row.here, "offered": not row.here}[self.where]
        return place and self.q.lower() in row.name.lower() and self.type in {"", row.type}


# -- downloads


@dataclass(frozen=True)
class DownloadRow:
    """One download as a line with its bar and buttons."""

    key: str
    name: str
    sentence: str
    tone: str
    done: int = 0
    total: int = 0
    acts: tuple[tuple[str, str], ...] = ()
    running: bool = False

    @property
    def said(self) -> str:
        """What is announced of it: its start, its half, its end."""
        if not self.running:
            return f"{self.name}: {self.sentence}"
        return (
            f"{self.name}: half is downloaded."
            if self.total and 2 * self.done >= self.total
            else f"{self.name}: downloading."
        )

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"dl-{hashlib.sha256(self.key.encode()).hexdigest()[:10]}"


STOPPED = (("resume", "Resume"), ("discard", "Delete part"))
ACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "running": (("pause", "Pause"), ("cancel", "Cancel")),
    "paused": STOPPED,
    "error": STOPPED,
    "downloading": STOPPED,
    "cancelled": STOPPED,
}
BACKEND_ACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "running": (("cancel", "Cancel"),),
    "paused": (("resume", "Resume"),),
    "error": (("resume", "Try again"),),
}
TONES = {"error": "bad", "completed": "good"}


def download_row(one: Underway) -> DownloadRow:
    """What is known of it, in words."""
    row = one.download
    state = "running" if row.running else row.status
    return DownloadRow(
        row.id, row.name, _sentence(one), TONES.get(row.status, "busy" if row.running else "calm"),
        row.done_bytes, row.total_bytes, (ACTS if row.type == "model" else BACKEND_ACTS).get(state, ()), row.running,
    )  # fmt: skip


def _sentence(one: Underway) -> str:
    row = one.download
    amount = _amount(row)
    if row.running:
        files = f"file {row.file_number} of {row.files}" if row.files > 1 and row.file_number else ""
        return " · ".join(filter(None, (amount, *_speed(one), files)))
    kept = f" The {_size(row.done_bytes)} part is kept." if row.done_bytes and row.type == "model" else ""
    ends = {
        "completed": "Downloaded.",
        "cancelled": f"Cancelled.{kept}",
        "error": f"Download failed: {_reason(row)}.{kept}",
    }
    return ends.get(row.status, f"Stopped at {_size(row.done_bytes)}.")


def _reason(row: Download) -> str:
    """Lemonade's own words, in one line."""
    return " ".join((row.error or "Lemonade gave no reason").split()).rstrip(".")


def _amount(row: Download) -> str:
    if not row.total_bytes:
        return _size(row.done_bytes) if row.done_bytes else "Starting"
    done, whole = _size(row.done_bytes), _size(row.total_bytes)
    number, unit = done.split()
    return f"{number if whole.endswith(unit) else done} of {whole}"


def _speed(one: Underway) -> tuple[str, ...]:
    how = one.progress
    if how.stalled_s is not None:
        return (f"Stalled for {how.stalled_s // 60}:{how.stalled_s % 60:02}",)
    if how.rate is None:
        return ()
    left = () if how.left_s is None else (f"about {_time(how.left_s)} left",)
    return (f"{_size(int(how.rate))}/s", *left)


def _time(seconds: int) -> str:
    return f"{max(seconds, 1)} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _size(count: int) -> str:
    if count >= GB:
        return f"{count / GB:.1f} GB"
    return f"{count / MB:.0f} MB" if count >= MB else f"{count / 1000:.0f} kB"


# -- backends


@dataclass(frozen=True)
class BackendRow:
    """One backend: what it is, its state in words, and whether hal0 can have it installed."""

    key: str
    name: str
    state: str
    version: str = ""
    install: str = ""  # the button's label
    page: str = ""  # where a person reads what to do


STATES = {
    "installed": ("Installed", ""),
    "installable": ("Available", "Install"),
    "update_available": ("Installed; there is an update", "Update"),
    "update_required": ("Must be updated before use", "Update"),
}


def backend_rows(shelves: Shelves) -> tuple[BackendRow, ...]:
    """Every backend, those that can be used or had first."""
    rows = [_backend(one) for one in shelves.backends]
    return tuple(sorted(rows, key=lambda row: (row.state.startswith("Not"), row.key)))


def _backend(one: Mapping[str, Any]) -> BackendRow:
    name = f"{NAMES.get(one['recipe'], one['recipe'])} ({one['backend']})"
    page = one.get("action") or ""
    if page and one.get("state") != "installed":
        return BackendRow(one["id"], name, "Needs a step on the host", page=page if page.startswith("http") else "")
    if one.get("state") not in STATES:
        reason = one.get("message") or "Lemonade does not say why"
        return BackendRow(one["id"], name, f"Not available on this machine: {reason}")
    words, label = STATES[one["state"]]
    return BackendRow(one["id"], name, words, one.get("version") or "", label)
