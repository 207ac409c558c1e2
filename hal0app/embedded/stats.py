"""What GET /v1/stats tells: the last request's tokens and speed, and the totals since the start."""

from __future__ import annotations

import json
import threading
from typing import Any

COUNTED = ("cache_tokens", "input_tokens", "output_tokens", "prompt_tokens")
DATA = b"data: "


def last_event(tail: bytes) -> dict[str, Any]:
    """The last `data:` line of a stream's end that carries llama.cpp's timings, else {}."""
    for line in reversed(tail.split(b"\n")):
        if line.startswith(DATA) and b'"timings"' in line:
            try:
                event = json.loads(line[len(DATA) :])
            except ValueError:
                return {}
            return event if isinstance(event, dict) else {}
    return {}


class Stats:
    """Counters over all requests; llama.cpp's own `timings` are the source. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Any] = dict.fromkeys(COUNTED, 0) | {"cache_tokens": None}
        self._last |= {"time_to_first_token": 0.0, "tokens_per_second": 0.0}
        self._totals = dict.fromkeys(COUNTED, 0)
        self._requests = 0

    def record(self, answer: dict[str, Any]) -> None:
        """Count one answer; one without timings (an embedding, an error) changes nothing."""
        timings = answer.get("timings")
        if not isinstance(timings, dict):
            return
        fresh, cached = int(timings.get("prompt_n", 0)), int(timings.get("cache_n", 0))
        counts = {
            "cache_tokens": cached,
            "input_tokens": fresh,
            "output_tokens": int(timings.get("predicted_n", 0)),
            "prompt_tokens": fresh + cached,
        }
        with self._lock:
            self._requests += 1
            self._last = {
                **counts,
                "time_to_first_token": float(timings.get("prompt_ms", 0.0)) / 1000,
                "tokens_per_second": float(timings.get("predicted_per_second", 0.0)),
            }
            for name, count in counts.items():
                self._totals[name] += count

    def describe(self) -> dict[str, Any]:
        with self._lock:
            totals = {f"{name}_total": count for name, count in self._totals.items()}
            routing = {"routing_decisions_total": 0, "routing_switches_total": 0}
            return {**self._last, **totals, **routing, "request_count_total": self._requests}
