"""Puts together how a slot fares, from what was computed and sampled before."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app.core.residency import Resident
from hal0app.core.vitals import Vitals
from hal0app.services.requests import Requests
from hal0app.services.sampling import Sampling
from hal0app.services.stats import Stats


@dataclass(frozen=True)
class Checkup:
    """Asks nobody, waits for nothing."""

    requests: Requests
    stats: Stats
    sampling: Sampling

    def vitals(self, slot: str, resident: Resident | None) -> Vitals:
        """How the slot fares; without a resident it has neither memory nor cache."""
        hour, sample = self.stats.hour.get(slot), self.sampling.of(resident)
        return Vitals(
            ttft_last=self.requests.last_ttft(slot),
            ttft_p50=hour.ttft_p50 if hour else None,
            ttft_p95=hour.ttft_p95 if hour else None,
            tokens_per_s=hour.tokens_per_s if hour else None,
            memory_bytes=sample.memory_bytes,
            kv_usage=sample.kv_usage,
            uses=hour.requests if hour else None,
        )
