"""A resident: a model that is loaded now, with the requests it is serving."""

from __future__ import annotations

import threading
import time
from typing import Any

from hal0app.embedded.catalogue import Model
from hal0app.embedded.options import Options
from hal0app.embedded.process import Backend


def monotonic_ms() -> int:
    """lemond's clock for `last_use`: monotonic milliseconds, good for ordering only."""
    return time.monotonic_ns() // 1_000_000


class Resident:
    """One loaded model. Counts its requests under a lock of its own, so they end while the router is held."""

    def __init__(self, model: Model, options: Options, backend: Backend, *, pinned: bool) -> None:
        self.model = model
        self.options = options
        self.backend = backend
        self.pinned = pinned
        self.last_use = monotonic_ms()
        self._requests = 0
        self._streams = 0
        self._idle = threading.Condition()

    @property
    def pool(self) -> str:
        return f"standard/{self.model.type}"

    @property
    def busy(self) -> bool:
        return self._requests > 0

    def begin(self, *, streaming: bool) -> None:
        with self._idle:
            self._requests += 1
            self._streams += streaming
            self.last_use = monotonic_ms()

    def end(self, *, streaming: bool) -> None:
        with self._idle:
            self._requests -= 1
            self._streams -= streaming
            self._idle.notify_all()

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until it serves nobody, or is dead; without a timeout for as long as that takes."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._idle:
            while self.busy and self.backend.alive:
                left = 1.0 if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(min(left, 1.0))
        return True

    def describe(self) -> dict[str, Any]:
        """An entry of health's `all_models_loaded`."""
        options = self.options.describe() | ({"pinned": True} if self.pinned else {})
        entry: dict[str, Any] = {
            "backend_alive": True,
            "backend_health": "busy" if self.busy else "ready",
            "backend_url": f"{self.backend.url}/v1",
            "checkpoint": str(self.model.path),
            "device": "npu" if self.model.simulated else "cpu",
            "is_busy": self.busy,
            "is_streaming": self._streams > 0,
            "last_use": self.last_use,
            "launch_command": self.backend.command,
            "loaded": True,
            "model_name": self.model.name,
            "pid": self.backend.pid,
            "pinned": self.pinned,
            "recipe": self.model.recipe,
            "recipe_options": options,
            "residency_class": "standard",
            "slot_pool": self.pool,
            "status": "in_use" if self.busy else "ready",
            "type": self.model.type,
            "watchdog_reset": False,
        }
        return entry | ({"max_context_window": self.model.max_context} if self.model.max_context else {})
