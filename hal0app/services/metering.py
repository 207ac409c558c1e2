"""Counts loads and evictions as the observer's snapshots show them, and tells the present to whoever scrapes it."""

from __future__ import annotations

from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.gauges import Gauges, SlotGauge
from hal0app.core.operation import Kind, Operation, Status
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.ports import Exposition, ResidencyMeters
from hal0app.services.requests import Requests
from hal0app.services.slot_view import SlotView


class Metering:
    """The first snapshot tells the past, which is not counted."""

    def __init__(self, observer: Observer, meters: ResidencyMeters) -> None:
        self._meters = meters
        self._evictions: dict[str, int] = {}
        self._ended: set[str] | None = None
        observer.subscribe(self._observed)

    def _observed(self, snapshot: Snapshot) -> None:
        first = self._ended is None
        for slot, record in snapshot.records.items():
            for _ in range(record.evictions - self._evictions.get(slot, record.evictions if first else 0)):
                self._meters.evicted(slot, record.reason)
        self._evictions = {slot: record.evictions for slot, record in snapshot.records.items()}
        ended = {one.id: one for one in snapshot.operations if one.kind is Kind.LOAD and not one.running}
        for id_ in ended.keys() - (ended.keys() if self._ended is None else self._ended):
            self._count(ended[id_])
        self._ended = set(ended)

    def _count(self, load: Operation) -> None:
        slot = load.slot or ""
        if load.status is Status.FAILED:
            self._meters.load_failed(slot, load.error_code or "")
        elif "load_ms" in load.result:
            self._meters.loaded(slot, load.result["load_ms"] / 1000)


def gauges(
    observer: Observer,
    requests: Requests,
    slots: Callable[[], list[SlotView]],
    clock: Clock,
    greenlets: Callable[[], int | None] = lambda: None,
) -> Gauges:
    """hal0 now."""
    snapshot = observer.snapshot
    age = clock().tick - snapshot.residency.taken.tick
    return Gauges(
        lemonade_up=snapshot.seen.fresh,
        observation_age_s=age if age < float("inf") else None,
        open_requests=requests.open,
        pending_records=requests.pending,
        lost_records=requests.lost,
        greenlets=greenlets(),
        slots=tuple(SlotGauge(one.slot.name, one.state, one.in_flight, one.queued, one.vitals) for one in slots()),
    )


def scraped(requests: Requests, meters: Exposition, accept: str) -> tuple[bytes, str]:
    """Prometheus' text and its type, with every request that has ended until now."""
    requests.count()
    return meters.text(accept)
