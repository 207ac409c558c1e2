"""adapters/meters and docs/metrics.md: the page says what the registry has, and units are in the names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from hal0app.adapters.meters import Meters
from hal0app.core.gauges import Gauges, SlotGauge
from hal0app.core.request_record import RequestRecord
from hal0app.core.slot import State
from hal0app.core.tap import NOTHING_PASSED, Figures
from hal0app.core.vitals import KvUsage, Vitals
from tests.unit.test_reference import DOCS

RECORD = RequestRecord(
    *(1.0, "req-1", "chat/completions", 200, "complete", 1500),
    slot="primary",
    queue_ms=20,
    ttft_ms=300,
    tokens_in=21,
    tokens_out=5,
    replayed=True,
)
FIGURES = Figures(first=1.0, last=2.0, events=5, longest_gap_s=0.6)
SLOT = SlotGauge("primary", "serving", 2, 3, Vitals(memory_bytes=1000, kv_usage=KvUsage(0.5, derived=True)))
NOW = Gauges(True, 0.5, 4, 5, 6, 7, (SLOT, SlotGauge("embed", "offline")))


def all_of_it() -> Meters:
    """Meters that have been told everything there is."""
    meters = Meters(lambda: NOW)
    meters.ended(RECORD, FIGURES, 1000)
    meters.loaded("primary", 3.0)
    meters.load_failed("primary", "model.load_failed")
    meters.evicted("primary", "evicted")
    return meters


def described(metric: Metric) -> tuple[str, tuple[str, ...]]:
    ignored = {"le"}
    labels = {name: None for sample in metric.samples for name in sample.labels if name not in ignored}
    return metric.type, tuple(labels)


def name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_the_page_lists_the_registry() -> None:
    listed = {}
    for line in (DOCS / "metrics.md").read_text().splitlines():
        if line.startswith("| `"):
            first, kind, labels, _ = (cell.strip() for cell in line.strip("|").split("|"))
            listed[first.strip("` ")] = (kind, tuple(one.strip("` ") for one in labels.split(",") if one.strip("` ")))
    assert listed == {name(metric): described(metric) for metric in all_of_it().registry.collect()}


@pytest.mark.parametrize("metric", list(all_of_it().registry.collect()), ids=name)
def test_a_name_tells_its_unit(metric: Metric) -> None:
    assert metric.name.startswith("hal0_")
    if metric.type == "histogram":
        assert metric.name.endswith("_seconds")


def samples(meters: Meters, accept: str = "") -> dict[tuple[str, ...], float]:
    text, _ = meters.text(accept)
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_a_request_is_counted_in_every_metric_that_it_tells_of() -> None:
    told = samples(all_of_it())
    assert told["hal0_requests_total", "chat/completions", "primary", "200"] == 1
    assert told["hal0_request_duration_seconds_sum", "chat/completions", "primary"] == 1.5
    assert told["hal0_time_to_first_token_seconds_sum", "chat/completions", "primary"] == 0.3
    assert told["hal0_inter_token_seconds_sum", "primary"] == 0.25
    assert told["hal0_longest_token_gap_seconds_sum", "primary"] == 0.6
    assert told["hal0_queue_wait_seconds_sum", "primary"] == 0.02
    assert told["hal0_tokens_total", "in", "primary"] == 21
    assert told["hal0_tokens_total", "out", "primary"] == 5
    assert told["hal0_replays_total", "primary"] == 1
    assert told["hal0_relayed_bytes_total", "primary"] == 1000


def test_what_a_request_does_not_tell_is_not_observed() -> None:
    meters = Meters()
    bare: Any = {"queue_ms": None, "ttft_ms": None, "tokens_in": None, "tokens_out": None, "replayed": False}
    meters.ended(replace(RECORD, slot=None, **bare), NOTHING_PASSED, 0)
    told = samples(meters)
    assert told["hal0_requests_total", "chat/completions", "", "200"] == 1
    assert told["hal0_time_to_first_token_seconds_count", "chat/completions", ""] == 0
    assert told["hal0_inter_token_seconds_count", ""] == 0


def test_the_present_is_read_at_the_scrape_and_what_is_not_known_is_absent() -> None:
    told = samples(all_of_it())
    assert told["hal0_slot_state", "primary", "serving"] == 1
    assert sum(value for key, value in told.items() if key[:2] == ("hal0_slot_state", "embed")) == 1
    assert sum(key[0] == "hal0_slot_state" for key in told) == 2 * len(State)
    assert told["hal0_slot_kv_usage_ratio", "primary", "derived"] == 0.5
    assert ("hal0_slot_memory_bytes", "embed") not in told
    assert ("hal0_observation_age_seconds",) not in samples(Meters())


def test_every_registry_is_its_own() -> None:
    assert samples(Meters())[("hal0_requests_open",)] == 0
    assert samples(all_of_it())[("hal0_requests_open",)] == 4


def test_open_metrics_is_given_to_who_asks_for_it() -> None:
    text, kind = all_of_it().text("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
