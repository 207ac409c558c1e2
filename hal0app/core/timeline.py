"""Who was loaded when, and who was evicted by what: a picture of the last hours out of the journal.

Only what the journal tells is drawn. Before its oldest entry, and before a slot's first record, a lane is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hal0app.core.journal import Entry
from hal0app.core.reasons import CATALOGUE, Reason, past
from hal0app.core.slot import Record, State

MINUTE = 60


class Phase(StrEnum):
    """What a lane shows at a moment."""

    LOADED = "loaded"
    LOADING = "loading"
    AWAY = "away"
    FAILED = "failed"


PHASES: dict[State, Phase] = {
    State.OFFLINE: Phase.AWAY,
    State.PULLING: Phase.AWAY,
    State.STARTING: Phase.LOADING,
    State.WARMING: Phase.LOADING,
    State.READY: Phase.LOADED,
    State.SERVING: Phase.LOADED,
    State.IDLE: Phase.LOADED,
    State.UNLOADING: Phase.LOADED,
    State.ERROR: Phase.FAILED,
}


@dataclass(frozen=True)
class Span:
    """A stretch of one phase; `start` and `end` are Unix seconds."""

    phase: Phase
    start: float
    end: float


@dataclass(frozen=True)
class Loss:
    """A model that left its slot without anybody asking for that, at `at` (Unix seconds), with the recorded cause."""

    slot: str
    model: str
    at: float
    reason: Reason
    cause: str


@dataclass(frozen=True)
class Lane:
    """One slot over the whole time."""

    slot: str
    spans: tuple[Span, ...]
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Timeline:
    """The lanes from `start` to `end` (Unix seconds); `silences`: when lemond did not answer."""

    start: float
    end: float
    lanes: tuple[Lane, ...]
    silences: tuple[tuple[float, float], ...] = ()

    @property
    def losses(self) -> list[Loss]:
        """Every loss of every lane, newest first."""
        return sorted((one for lane in self.lanes for one in lane.losses), key=lambda one: (-one.at, one.slot))

    def percent(self, moment: float) -> float:
        """How far from the left edge a moment lies."""
        return round(100 * (moment - self.start) / (self.end - self.start), 2)


def timeline(records: Mapping[str, Record], entries: Sequence[Entry], start: float, end: float) -> Timeline:
    """The picture from `start` to `end`. `entries`: the journal's, oldest first; `records`: each slot as it is now."""
    begin = max(start, entries[0].ts) if entries and entries[0].ts > start else start
    within = [entry for entry in entries if start < entry.ts <= end]
    changes: dict[str, list[Entry]] = {}
    for entry in within:
        if entry.slot in records and "to" in entry.data:
            changes.setdefault(entry.slot or "", []).append(entry)
    lanes = [_lane(name, record, changes.get(name, []), begin, end) for name, record in sorted(records.items())]
    return Timeline(start, end, tuple(lanes), tuple(_silences(within, end)))


def _lane(name: str, record: Record, changes: Sequence[Entry], begin: float, end: float) -> Lane:
    if not changes:
        edges = [(max(record.since, begin), PHASES[record.state])] if record.version else []
    else:
        edges = [(begin, PHASES[State(changes[0].data["from"])])]
        edges += [(entry.ts, PHASES[State(entry.data["to"])]) for entry in changes]
    losses = [_loss(name, entry) for entry in changes if _lost(entry)]
    return Lane(name, tuple(_spans(edges, end)), tuple(losses))


def _spans(edges: Sequence[tuple[float, Phase]], end: float) -> Iterable[Span]:
    """The edges as stretches, neighbours of one phase as one."""
    distinct = [edge for place, edge in enumerate(edges) if not place or edges[place - 1][1] is not edge[1]]
    ends = [*(moment for moment, _ in distinct), end][1:]
    return [Span(phase, moment, until) for (moment, phase), until in zip(distinct, ends, strict=True) if until > moment]


def _lost(entry: Entry) -> bool:
    left = entry.data["to"] == State.OFFLINE and entry.data.get("from") in {State.READY, State.UNLOADING}
    return left and CATALOGUE[Reason(entry.data.get("reason") or "")].lost


def _loss(name: str, entry: Entry) -> Loss:
    cause = past(entry.message.removeprefix(f"{name} is offline: "))
    return Loss(name, entry.model or "", entry.ts, Reason(entry.data["reason"]), cause)


def _silences(entries: Iterable[Entry], end: float) -> Iterable[tuple[float, float]]:
    since: float | None = None
    for entry in entries:
        if entry.kind == "system.lemond_down" and since is None:
            since = entry.ts
        elif entry.kind == "lemond.restart" and since is not None:
            yield since, entry.ts
            since = None
    if since is not None:
        yield since, end
