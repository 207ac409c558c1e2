"""Downloads that only count, for tests of what hal0 shows while a model is on its way: the fault `registry`.

While it is put, a pull starts a row that grows by `rate` bytes a second up to `total`, as lemond's own jobs do, and
stops at `fail_at` with `error`. One that is cancelled keeps its bytes until it is deleted. Nothing is written to disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.embedded import errors
from hal0app.embedded.http import Answer, Request, as_json

Facts = Mapping[str, Any]
DEFAULTS: dict[str, Any] = {"total": 1_000_000, "rate": 100_000, "fail_at": None, "error": "disk full"}


@dataclass
class Row:
    """One download; `seen` is when its bytes were last counted."""

    id: str
    total: int
    seen: float
    done: float = 0.0
    status: str = "downloading"
    error: str | None = None

    def count(self, facts: Facts, now: float) -> None:
        """Let the time since the last look have its effect."""
        if self.status == "downloading":
            end = min(self.total, facts["fail_at"] if facts["fail_at"] is not None else self.total)
            self.done = min(self.done + (now - self.seen) * facts["rate"], end)
            if self.done >= end:
                failed = end < self.total
                self.status, self.error = ("error", facts["error"]) if failed else ("completed", None)
        self.seen = now

    def as_json(self) -> dict[str, Any]:
        """The row as lemond lists it."""
        return {
            "id": self.id,
            "status": self.status,
            "running": self.status == "downloading",
            "overall_bytes_downloaded": int(self.done),
            "total_download_size": self.total,
            "file": "model.gguf",
            "error": self.error,
        }


class SimulatedDownloads:
    """The rows, and the three addresses they are handled by. Thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], Callable[[Request, Facts], Answer | None]] = {
            ("POST", "pull"): self._pull,
            ("GET", "downloads"): self._list,
            ("POST", "downloads/control"): self._control,
            ("POST", "delete"): self._delete,
        }

    def answer(self, request: Request, facts: Facts | None) -> Answer | None:
        """The answer to a request about downloads while the fault is put; None for every other."""
        name = request.path.removeprefix("/api").removeprefix("/v1/")
        handle = self._answers.get((request.method, name)) if facts is not None else None
        if handle is None or facts is None:
            return None
        with self._lock:
            for row in self._rows.values():
                row.count(facts, time.monotonic())
            return handle(request, facts)

    def _pull(self, request: Request, facts: Facts) -> Answer:
        id_ = f"model:{request.json()['model_name']}"
        row = self._rows.setdefault(id_, Row(id_, facts["total"], time.monotonic()))
        row.status, row.error, row.seen = "downloading", None, time.monotonic()
        return as_json(row.as_json())

    def _list(self, request: Request, facts: Facts) -> Answer:
        return as_json([row.as_json() for row in self._rows.values()])

    def _control(self, request: Request, facts: Facts) -> Answer:
        body = request.json()
        row = self._rows.get(body.get("id"))
        if row is None:
            raise errors.plain(404, "Download not found")
        if body["action"] == "remove":
            del self._rows[row.id]
        else:
            row.status = {"pause": "paused", "cancel": "cancelled"}[body["action"]]
        return as_json({"status": "ok"})

    def _delete(self, request: Request, facts: Facts) -> Answer | None:
        """What is there of a download; the row stays, as lemond's does. None: it is no download's model."""
        row = self._rows.get(f"model:{request.json().get('model_name')}")
        if row is None:
            return None
        row.done = 0.0
        return as_json({"status": "success", "message": f"Deleted model: {request.json()['model_name']}"})
