"""hal0's metrics for Prometheus, in a registry of its own: counted as things happen, or read when it is scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from hal0app.core.gauges import Gauges
from hal0app.core.request_record import RequestRecord
from hal0app.core.slot import State
from hal0app.core.tap import Figures

# Bounds in seconds.
TOKEN_S = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0)
WAIT_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
WHOLE_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
LOAD_S = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0)


@dataclass(frozen=True)
class _Series:
    """The metrics of one endpoint and slot, looked up once."""

    duration: Histogram
    first_token: Histogram
    token: Histogram
    longest_gap: Histogram
    queue: Histogram
    tokens_in: Counter
    tokens_out: Counter
    replays: Counter
    relayed: Counter


class Meters:
    """`gauges` is asked for the present at every scrape."""

    def __init__(self, gauges: Callable[[], Gauges] = Gauges) -> None:
        self.registry = CollectorRegistry()
        at, per_slot = ("endpoint", "slot"), ("slot",)
        counter, histogram = self._counter, self._histogram
        self._requests = counter("requests", "Requests that ended, by the status of their answer.", (*at, "status"))
        self._duration = histogram("request_duration_seconds", "From acceptance to the end of the answer.", at, WHOLE_S)
        self._first = histogram("time_to_first_token_seconds", "From acceptance to the first content.", at, WAIT_S)
        self._token = histogram("inter_token_seconds", "Mean time between two tokens of a stream.", per_slot, TOKEN_S)
        self._gap = histogram("longest_token_gap_seconds", "Longest such time in a stream.", per_slot, TOKEN_S)
        self._queue = histogram("queue_wait_seconds", "Wait for a place on its model.", per_slot, WAIT_S)
        self._tokens = counter("tokens", "Tokens of prompts (in) and answers (out).", ("slot", "direction"))
        self._replays = counter("replays", "Requests sent a second time, for their model had gone.", per_slot)
        self._relayed = counter("relayed_bytes", "Bytes of upstreams' answers passed on.", per_slot)
        self._loads = histogram(
            "load_duration_seconds", "Loads that hal0 started and that succeeded.", per_slot, LOAD_S
        )
        self._failures = counter("load_failures", "Loads that failed, by the code of the error.", ("slot", "code"))
        self._evictions = counter("evictions", "Models that left unasked, by reason.", ("slot", "reason"))
        self._series: dict[tuple[str, str], _Series] = {}
        self._statuses: dict[tuple[str, str, int], Counter] = {}
        self.registry.register(Present(gauges))

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"hal0_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> Histogram:
        return Histogram(f"hal0_{name}", text, labels, registry=self.registry, buckets=bounds)

    # -- counted

    def ended(self, record: RequestRecord, figures: Figures, size: int) -> None:
        """Count a request that ended; `size` bytes of its answer were relayed."""
        slot = record.slot or ""
        self._status(record.endpoint, slot, record.status).inc()
        series = self._of(record.endpoint, slot)
        series.duration.observe(record.total_ms / 1000)
        if size:
            series.relayed.inc(size)
        if record.ttft_ms is not None:
            series.first_token.observe(record.ttft_ms / 1000)
        if record.queue_ms is not None:
            series.queue.observe(record.queue_ms / 1000)
        if figures.gap_s is not None:
            series.token.observe(figures.gap_s)
            series.longest_gap.observe(figures.longest_gap_s or 0.0)
        if record.tokens_in:
            series.tokens_in.inc(record.tokens_in)
        if record.tokens_out:
            series.tokens_out.inc(record.tokens_out)
        if record.replayed:
            series.replays.inc()

    def _status(self, endpoint: str, slot: str, status: int) -> Counter:
        key = (endpoint, slot, status)
        found = self._statuses.get(key)
        if found is None:
            found = self._statuses[key] = self._requests.labels(endpoint, slot, str(status))
        return found

    def _of(self, endpoint: str, slot: str) -> _Series:
        found = self._series.get((endpoint, slot))
        if found is None:
            found = self._series[endpoint, slot] = _Series(
                duration=self._duration.labels(endpoint, slot),
                first_token=self._first.labels(endpoint, slot),
                token=self._token.labels(slot),
                longest_gap=self._gap.labels(slot),
                queue=self._queue.labels(slot),
                tokens_in=self._tokens.labels(slot, "in"),
                tokens_out=self._tokens.labels(slot, "out"),
                replays=self._replays.labels(slot),
                relayed=self._relayed.labels(slot),
            )
        return found

    def loaded(self, slot: str, seconds: float) -> None:
        """Count a load that succeeded."""
        self._loads.labels(slot).observe(seconds)

    def load_failed(self, slot: str, code: str) -> None:
        """Count a load that failed."""
        self._failures.labels(slot, code).inc()

    def evicted(self, slot: str, reason: str) -> None:
        """Count a model that left unasked."""
        self._evictions.labels(slot, reason).inc()

    # -- scraped

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, in the format that the Accept header asks for."""
        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind


class Present:
    """What is so at the moment of a scrape; a figure that is not known is left out."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        now = self._gauges()
        yield GaugeMetricFamily("hal0_requests_open", "Requests accepted and not ended.", now.open_requests)
        yield GaugeMetricFamily("hal0_request_records_pending", "Records not written yet.", now.pending_records)
        yield CounterMetricFamily("hal0_request_records_lost", "Records that could not be kept.", now.lost_records)
        if now.greenlets is not None:
            yield GaugeMetricFamily("hal0_greenlets", "Greenlets that have not ended.", now.greenlets)
        yield GaugeMetricFamily("hal0_lemonade_up", "1 while Lemonade tells what it holds.", int(now.lemonade_up))
        age = GaugeMetricFamily("hal0_observation_age_seconds", "Since the last look that told what is resident.")
        if now.observation_age_s is not None:
            age.add_metric((), now.observation_age_s)
        yield age
        yield from _of_slots(now)


def _of_slots(now: Gauges) -> Iterator[Metric]:
    states = GaugeMetricFamily("hal0_slot_state", "1 for the state that the slot is in.", labels=("slot", "state"))
    running = GaugeMetricFamily("hal0_slot_requests_in_flight", "Requests that run on its model.", labels=("slot",))
    waiting = GaugeMetricFamily("hal0_slot_requests_queued", "Requests that wait for its model.", labels=("slot",))
    memory = GaugeMetricFamily("hal0_slot_memory_bytes", "Memory of its model's process.", labels=("slot",))
    cache = GaugeMetricFamily(
        "hal0_slot_kv_usage_ratio", "Used part of the KV cache.", labels=("slot", "source")
    )  # source: reported, derived
    for one in now.slots:
        for state in State:
            states.add_metric((one.slot, state.value), int(one.state == state.value))
        running.add_metric((one.slot,), one.in_flight)
        waiting.add_metric((one.slot,), one.queued)
        if one.vitals.memory_bytes is not None:
            memory.add_metric((one.slot,), one.vitals.memory_bytes)
        if one.vitals.kv_usage is not None:
            source = "derived" if one.vitals.kv_usage.derived else "reported"
            cache.add_metric((one.slot, source), one.vitals.kv_usage.ratio)
    yield from (states, running, waiting, memory, cache)
