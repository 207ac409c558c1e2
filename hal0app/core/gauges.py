"""What is so at one moment, for whoever scrapes it."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app.core.vitals import UNKNOWN, Vitals


@dataclass(frozen=True)
class SlotGauge:
    """One slot now."""

    slot: str
    state: str
    in_flight: int = 0
    queued: int = 0
    vitals: Vitals = UNKNOWN


@dataclass(frozen=True)
class Gauges:
    """hal0 now. `observation_age_s`: since the last look that told what is resident; None before the first."""

    lemonade_up: bool = False
    observation_age_s: float | None = None
    open_requests: int = 0
    pending_records: int = 0
    lost_records: int = 0
    greenlets: int | None = None
    slots: tuple[SlotGauge, ...] = ()
