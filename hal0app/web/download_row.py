"""A download as a line of words, with its bar and its buttons."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hal0app.core.download import Download
from hal0app.services.stock import Underway

GB = 1000**3
MB = 1000**2


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
