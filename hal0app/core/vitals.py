"""How a slot fares, for those who look at it: speed from its requests, memory and KV cache from its process."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_GAUGE = re.compile(r"^llamacpp:kv_cache_usage_ratio(?:\{[^}]*\})?\s+([0-9.eE+-]+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class KvUsage:
    """The used part of a KV cache, 0 to 1. `derived`: from llama.cpp's sequences, not from a gauge of its own."""

    ratio: float
    derived: bool

    def as_json(self) -> dict[str, Any]:
        return {"ratio": round(self.ratio, 4), "derived": self.derived}


@dataclass(frozen=True)
class Vitals:
    """None is what is not known. `uses` (requests), percentiles and `tokens_per_s` (a median) are of the last hour."""

    ttft_last: int | None = None
    ttft_p50: int | None = None
    ttft_p95: int | None = None
    tokens_per_s: float | None = None
    memory_bytes: int | None = None
    kv_usage: KvUsage | None = None
    uses: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys of a slot's JSON."""
        return {
            "ttft_ms": {"last": self.ttft_last, "p50": self.ttft_p50, "p95": self.ttft_p95},
            "tokens_per_s": self.tokens_per_s,
            "memory_bytes": self.memory_bytes,
            "kv_usage": self.kv_usage and self.kv_usage.as_json(),
        }


UNKNOWN = Vitals()


def kv_reported(metrics: str) -> KvUsage | None:
    """llama.cpp's own gauge in its `/metrics`; most builds have none."""
    found = _GAUGE.search(metrics)
    try:
        ratio = float(found[1]) if found else -1.0
    except ValueError:
        return None
    return KvUsage(ratio, derived=False) if 0 <= ratio <= 1 else None


def kv_derived(sequences: object) -> KvUsage | None:
    """From the answer of llama.cpp's `/slots`; None while no sequence tells how many tokens it holds.

    A sequence that had no task holds nothing. One at rest still holds its last prompt for the next request.
    """
    if not isinstance(sequences, list) or not all(isinstance(one, Mapping) for one in sequences):
        return None
    held = [_held(one) for one in sequences]
    room = sum(_count(one, "n_ctx") for one in sequences)
    if not room or all(tokens is None for tokens in held):
        return None
    return KvUsage(min(1.0, sum(tokens or 0 for tokens in held) / room), derived=True)


def _held(sequence: Mapping[str, Any]) -> int | None:
    """Tokens in the cache: builds differ in whether `n_prompt_tokens` grows with the output."""
    if "n_prompt_tokens" not in sequence:
        return None
    following = sequence.get("next_token")
    first = following[0] if isinstance(following, Sequence) and following else following
    decoded = _count(first, "n_decoded") if isinstance(first, Mapping) else 0
    read = _count(sequence, "n_prompt_tokens_processed") + _count(sequence, "n_prompt_tokens_cache")
    return max(_count(sequence, "n_prompt_tokens"), read + decoded if read else 0)


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
