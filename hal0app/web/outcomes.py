"""What became of an act that a person started: a failure is told on every open page."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hal0app.errors import Hal0Error
from hal0app.services.jobs import Job

CANCELLED = "slot.load_cancelled"  # whoever did it was told


class Outcomes:
    """Follows jobs to their end. `tell(slot, error)` is called once per job that failed."""

    def __init__(self, tell: Callable[[str, Hal0Error], None]) -> None:
        self._tell = tell
        self._followed: set[str] = set()

    def follow(self, slot: str, job: Job) -> None:
        """Wait for its end, without keeping the caller."""
        if job.id not in self._followed:
            self._followed.add(job.id)
            threading.Thread(target=self._wait, args=(slot, job), name=f"hal0-job-{job.id}", daemon=True).start()

    def _wait(self, slot: str, job: Job) -> None:
        job.done.wait()
        self._followed.discard(job.id)
        if job.error is not None and job.error.code != CANCELLED:
            self._tell(slot, job.error)
