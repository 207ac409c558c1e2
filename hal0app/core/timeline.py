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
GRAINS = 120  # what is closer than this part of the picture, a mark's width, is drawn as one


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
class Mark:
    """A loss in the picture; `more` came right before it and have no mark of their own."""

    loss: Loss
    more: int = 0


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

    def drawn(self, lane: Lane) -> list[Span]:
        """What of a lane can be seen: a stretch too short for that is one with the next, as what most of both is."""
        grain, shown = (self.end - self.start) / GRAINS, list[Span]()
        for span in (one for one in lane.spans if one.phase is not Phase.AWAY):
            before = shown[-1] if shown else None
            if before is None or span.start - before.end >= grain or _length(before) >= grain:
                shown.append(span)
            else:
                shown[-1] = Span(max(before, span, key=_length).phase, before.start, span.end)
        return shown

    def marks(self, lane: Lane) -> list[Mark]:
        """The losses of a lane, newest first, as far as the eye can tell them apart."""
        grain, shown = (self.end - self.start) / GRAINS, list[Mark]()
        for loss in reversed(lane.losses):
            if shown and shown[-1].loss.at - loss.at < grain:
                shown[-1] = Mark(shown[-1].loss, shown[-1].more + 1)
            else:
                shown.append(Mark(loss))
        return shown

    def percent(self, moment: float) -> float:
        """How far from the left edge a moment lies."""
        return round(100 * (moment - self.start) / (self.end - self.start), 2)


def _length(span: Span) -> float:
    return span.end - span.start


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
