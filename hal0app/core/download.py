"""A download as lemond lists it in `/v1/downloads`, of a model or of a backend (lemonade-contract.md section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KIND_OF_TYPE = {"model": "model.pull", "backend": "backend.install"}


@dataclass(frozen=True)
class Download:
    """One download. `id` is `model:NAME` or `backend:RECIPE:BACKEND`; sizes are bytes over all files, 0 = not known."""

    id: str
    status: str = "downloading"  # downloading | paused | cancelled | completed | error
    running: bool = False
    done_bytes: int = 0
    total_bytes: int = 0
    file: str = ""
    file_number: int = 0  # of `files`, counted from 1; 0 = not known
    files: int = 0
    error: str | None = None

    @property
    def type(self) -> str:
        """`model` or `backend`."""
        return self.id.partition(":")[0]

    @property
    def name(self) -> str:
        """The model's id, or `RECIPE:BACKEND`."""
        return self.id.partition(":")[2]

    @property
    def kind(self) -> str:
        """The kind of the journal entries that tell of it."""
        return KIND_OF_TYPE.get(self.type, "model.pull")

    @property
    def percent(self) -> float | None:
        """How much of all files is here; None while the size is not known."""
        if self.status == "completed":
            return 100.0
        return round(100 * self.done_bytes / self.total_bytes, 1) if self.total_bytes else None

    def as_json(self) -> dict[str, Any]:
        """The download as `/api/downloads` shows it."""
        return {
            "id": self.id,
            "type": self.type,
            "name": self.name,
            "status": self.status,
            "running": self.running,
            "percent": self.percent,
            "bytes_downloaded": self.done_bytes,
            "bytes_total": self.total_bytes or None,
            "file": self.file or None,
            "file_number": self.file_number or None,
            "files": self.files or None,
            "error": self.error,
        }


def read_download(row: Mapping[str, Any]) -> Download:
    """The download in one row. lemond's `percent` is that of the current file, so it is not used."""
    return Download(
        id=row["id"],
        status=row.get("status") or "downloading",
        running=bool(row.get("running")),
        done_bytes=row.get("overall_bytes_downloaded") or 0,
        total_bytes=row.get("total_download_size") or 0,
        file=row.get("file") or "",
        file_number=row.get("file_index") or 0,
        files=row.get("total_files") or 0,
        error=row.get("error"),
    )


# How a download that is not running any more is told in the journal: status -> (level, text).
ENDS = {
    "completed": ("info", "{name} was downloaded"),
    "paused": ("info", "the download of {name} was paused"),
    "cancelled": ("info", "the download of {name} was cancelled"),
    "error": ("error", "the download of {name} failed: {error}"),
}
VANISHED = ("warning", "the download of {name} is not listed any more: Lemonade was restarted, or it was removed")


def told_end(one: Download, listed: bool = True) -> tuple[str, str]:
    """Level and text for the end of a download; `listed` is False when lemond does not know it any more."""
    level, text = ENDS.get(one.status, ENDS["completed"]) if listed else VANISHED
    return level, text.format(name=one.name, error=one.error)
