"""Models that are kept out because they could not be loaded: each try makes lemond drop every model it holds.

The slot with which it was tried is refused until its load options change or a person clears the model. Everybody else
(a request for the model itself, or a slot when the load that failed was not hal0's) waits for a pause, which doubles
with every failure in a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hal0app import errors
from hal0app.core.clock import Moment
from hal0app.core.operation import Evidence
from hal0app.core.pause import pause_s
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error

KIND = "quarantine"  # of the evidence that keeps it
FOREIGN = "foreign"  # in place of load options: they were somebody else's


@dataclass(frozen=True)
class Quarantine:
    """`options` are the load options of the last failure (see `options_key`; empty: without a slot, or FOREIGN).

    `failures` in a row, the first at `since` (Unix seconds).
    """

    model: str
    cause: str
    options: str
    failures: int
    since: float
    last: Moment

    @property
    def ends(self) -> Moment:
        """When the pause is over, for those who only have to wait for it."""
        pause = pause_s(self.failures)
        return Moment(self.last.tick + pause, self.last.wall + pause)

    def as_json(self) -> dict[str, Any]:
        """As `/api/models` shows it; times in Unix seconds."""
        return {"since": self.since, "until": self.ends.wall, "failures": self.failures, "cause": self.cause}


def after_failure(before: Quarantine | None, model: str, cause: str, options: str, now: Moment) -> Quarantine:
    """The quarantine after one more failed load; with other load options the count begins anew."""
    if before is None or before.options != options:
        return Quarantine(model, cause, options, 1, now.wall, now)
    return Quarantine(model, cause, options, before.failures + 1, before.since, now)


def refusal(one: Quarantine, slot: SlotConfig | None, now: Moment) -> Hal0Error | None:
    """Why `slot` (None: a request for the model itself) may not have the model loaded now; None when it may."""
    clear = f"POST /api/models/{one.model}/clear"
    if slot is not None and one.options == options_key(slot):
        return _error(one, None, f"Change slot '{slot.name}', or clear it: {clear}")
    if slot is not None and one.options != FOREIGN:
        return None
    left = one.ends.tick - now.tick
    if left <= 0:
        return None
    return _error(one, math.ceil(left), f"It may be tried again after {_time(one.ends.wall)}; at once: {clear}")


def _error(one: Quarantine, retry_after: int | None, advice: str) -> Hal0Error:
    times = "once" if one.failures == 1 else f"{one.failures} times"
    since = _time(one.since)
    message = f"'{one.model}' is in quarantine since {since}: loading it failed {times} ({one.cause}). {advice}"
    return errors.error("model.quarantined", message, retry_after=retry_after, **one.as_json())


def _time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def evidence(one: Quarantine) -> Evidence:
    """The row that keeps it."""
    data = {"cause": one.cause, "options": one.options, "failures": one.failures, "since": one.since}
    return Evidence(one.model, KIND, one.last, data)


def read(kept: Evidence) -> Quarantine:
    """The quarantine in such a row."""
    return Quarantine(kept.model, last=kept.seen, **kept.data)
