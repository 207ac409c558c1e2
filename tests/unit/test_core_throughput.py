"""Tokens a second, out of records."""

from __future__ import annotations

from typing import Any

import pytest

from hal0app.core.request_record import RequestRecord
from hal0app.core.throughput import POINTS, STEP_S, Throughput, throughput
from hal0app.services.traffic import KEEP, MOST, Traffic
from tests.unit.fakes import WALL, HandClock

NOW = 10_005.0  # in the middle of the last step


def record(ts: float, seconds: float, out: int = 100, **more: Any) -> RequestRecord:
    facts: dict[str, Any] = dict.fromkeys(RequestRecord.__dataclass_fields__)
    return RequestRecord(**{**facts, "ts": ts, "total_ms": round(seconds * 1000), "tokens_out": out, **more})


def test_tokens_are_spread_over_the_time_they_took() -> None:
    shown = throughput([record(9_990.0, 15.0, 150)], NOW)
    assert shown.output[-2:] == pytest.approx((10.0, 5.0))
    assert sum(shown.output) * STEP_S == pytest.approx(150)
    assert (shown.peak, shown.requests) == (pytest.approx(10.0), 1)


def test_output_begins_with_the_first_token_and_the_prompt_ends_there() -> None:
    shown = throughput([record(9_990.0, 15.0, 50, ttft_ms=10_000, tokens_in=200)], NOW)
    assert shown.output[-2:] == pytest.approx((0.0, 5.0))
    assert shown.prompt[-2:] == pytest.approx((20.0, 0.0))
    assert shown.ttft_ms == 10_000


def test_what_is_too_old_does_not_count_and_no_requests_are_a_flat_line() -> None:
    assert throughput([record(9_000.0, 1.0)], NOW) == Throughput()
    assert throughput([], NOW).output == (0.0,) * POINTS


def test_only_new_records_are_read_and_old_ones_forgotten() -> None:
    clock, asked = HandClock(), []
    there = [record(WALL + 990, 1.0, seq=2), record(WALL + 980, 1.0, seq=1)]

    def select(filters: Any) -> list[RequestRecord]:
        asked.append(filters.since)
        return [one for one in there if (one.seq or 0) > filters.since]

    traffic = Traffic(select, clock)
    assert traffic.shown() is None
    assert (traffic.look().requests, traffic.look().requests) == (2, 2)
    clock.pass_s(5000)
    assert traffic.look().requests == 0
    assert asked == [0, 2, 2]


def test_of_very_many_requests_every_so_many_th_is_read_and_stands_for_the_others() -> None:
    there = [record(WALL + 990, 1.0, 10, seq=one) for one in range(3 * MOST, 0, -1)]

    def select(filters: Any) -> list[RequestRecord]:
        wanted = [one for one in there if (one.seq or 0) > filters.since and not (one.seq or 0) % filters.every]
        return wanted[: filters.limit]

    traffic = Traffic(select, HandClock())
    shown = traffic.look()
    assert (shown.requests, shown.every) == (3 * MOST, 4)
    assert sum(shown.output) * STEP_S == pytest.approx(30 * MOST)
    for look in range(1, 9):  # what is kept is thinned out in its turn
        there[:] = [record(WALL + 995, 1.0, 10, seq=(3 + look) * MOST - one) for one in range(1, MOST)]
        shown = traffic.look()
    assert len(traffic._records) <= KEEP
    assert shown.requests == pytest.approx(3 * MOST + 8 * (MOST - 1), rel=0.01)
