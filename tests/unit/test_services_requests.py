"""services/requests, stats, sampling, metering: a record for every end, kept without holding anybody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hal0app.adapters.meters import Meters
from hal0app.core.memory import HostMemory, ProcessMemory
from hal0app.core.request_record import Filters, RequestRecord, Summary
from hal0app.core.slot import Record
from hal0app.core.tap import Figures
from hal0app.core.upstream import Broken, Silent
from hal0app.core.vitals import KvUsage, Vitals
from hal0app.services.answer import Answer, Trip
from hal0app.services.metering import Metering, gauges, scraped
from hal0app.services.observer import Snapshot
from hal0app.services.request import Request
from hal0app.services.requests import AT_ONCE, BATCH, MOST_PENDING, Requests
from hal0app.services.sampling import KEEP_S, Sampling
from hal0app.services.stats import SHARE, Stats
from hal0app.services.vitals import Checkup
from tests.support.waiting import eventually
from tests.unit.fakes import FakeReply, HandClock, House, at, operation, resident, seen, slot

TRIP = Trip(slot="primary", model="m", route="slot", path="direct", queue_ms=7)
CONTENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'


class History:
    """Records in memory; `append` obeys `answers`: True, False or an exception, the last for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers) or [True]
        self.batches: list[list[RequestRecord]] = []
        self.summed: list[tuple[float, float, str]] = []
        self.known: dict[str, int] = {}
        self.requests: int | None = None

    def append(self, records: list[RequestRecord]) -> bool:
        told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(told, Exception):
            raise told
        if told:
            self.batches.append(list(records))
        return bool(told)

    @property
    def records(self) -> list[RequestRecord]:
        return [one for batch in self.batches for one in batch]

    def select(self, filters: Filters) -> list[RequestRecord]:
        return self.records[::-1][: filters.limit]

    def summaries(self, since: float, until: float, by: str) -> dict[str, Summary]:
        self.summed.append((since, until, by))
        requests = len(self.summed) if self.requests is None else self.requests
        return {"primary": Summary(requests, 0, 0, 0, ttft_p50=5, ttft_p95=9, tokens_per_s=2.5)}

    def last_ttft(self) -> dict[str, int]:
        return self.known


class Heard:
    """Meters that remember what they were told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def ended(self, record: RequestRecord, figures: Figures, size: int) -> None:
        self.told.append(("ended", record.status, figures.events, size))

    def loaded(self, slot: str, seconds: float) -> None:
        self.told.append(("loaded", slot, seconds))

    def load_failed(self, slot: str, code: str) -> None:
        self.told.append(("load_failed", slot, code))

    def evicted(self, slot: str, reason: str) -> None:
        self.told.append(("evicted", slot, reason))


class Desk:
    """A recorder over a history, with a clock moved by hand."""

    def __init__(self, *answers: Any) -> None:
        self.clock, self.history, self.heard = HandClock(), History(*answers), Heard()
        self.requests = Requests(self.history, self.heard, self.clock, lambda: self.clock.tick)

    def begin(self, **facts: Any) -> Request:
        return self.requests.begin("chat/completions", **facts)

    def refuse(self, number: int = 1) -> None:
        for _ in range(number):
            self.begin().refused(503, "slot.error")

    def kept(self) -> RequestRecord:
        """The one record there is."""
        self.requests.flush()
        (record,) = self.history.records
        return record


def test_a_stream_is_recorded_with_its_times_and_tokens() -> None:
    desk = Desk()
    request = desk.begin(client="10.0.0.7", agent="shell", id_="mine")
    desk.clock.pass_s(0.5)
    tap = request.answered(200, True, TRIP)
    for piece in (CONTENT, CONTENT, USAGE):
        desk.clock.pass_s(0.25)
        tap(piece)
    request.ended("complete", 99)
    assert desk.kept() == RequestRecord(
        ts=at(1000).wall,
        id="mine",
        endpoint="chat/completions",
        status=200,
        outcome="complete",
        total_ms=1250,
        client="10.0.0.7",
        agent="shell",
        slot="primary",
        model="m",
        route="slot",
        path="direct",
        queue_ms=7,
        load_ms=0,
        ttft_ms=750,
        tokens_in=3,
        tokens_out=2,
        tokens_per_s=4.0,
    )
    assert desk.heard.told == [("ended", 200, 2, 99)]


def test_a_refusal_is_recorded_with_its_code_and_what_was_asked_for() -> None:
    desk = Desk()
    request = desk.begin()
    request.asks_for("hal0/primary", "primary")
    request.refused(503, "slot.error")
    record = desk.kept()
    assert (record.outcome, record.status, record.error_code) == ("refused", 503, "slot.error")
    assert (record.slot, record.model, record.route, record.queue_ms) == ("primary", "hal0/primary", None, None)


def test_a_refusal_is_recorded_with_where_it_went_and_how_long_it_waited() -> None:
    desk = Desk()
    request = desk.begin()
    request.asks_for("m")
    assert request.explain == []
    request.goes(TRIP._replace(path=""))
    request.refused(503, "slot.loading")
    record = desk.kept()
    assert (record.slot, record.model, record.route, record.queue_ms, record.path) == ("primary", "m", "slot", 7, None)
    assert dict(request.explain)["X-Hal0-Slot"] == "primary"


@pytest.mark.parametrize(
    ("status", "body", "outcome", "code"),
    [
        (200, b"{}", "complete", None),
        (200, b"{}", "client_gone", None),
        (200, b"{}", "upstream_broken", "upstream.protocol"),
        (200, b"{}", "upstream_silent", "upstream.timeout"),
        (400, b'{"error":{"type":"invalid_request_error","code":400}}', "complete", "invalid_request_error"),
        (502, b"<html>", "complete", "http.502"),
    ],
)
def test_an_answer_that_is_an_error_is_recorded_with_its_word(
    status: int, body: bytes, outcome: str, code: str | None
) -> None:
    desk = Desk()
    request = desk.begin()
    request.answered(status, False, TRIP)(body)
    request.ended(outcome, len(body))
    record = desk.kept()
    assert (record.status, record.outcome, record.error_code) == (status, outcome, code)


def test_a_client_that_left_before_an_answer_is_no_refusal() -> None:
    desk = Desk()
    desk.begin().refused(499, "client.gone")
    assert desk.kept().outcome == "client_gone"


def test_the_first_end_counts() -> None:
    desk = Desk()
    request = desk.begin()
    assert desk.requests.open == 1
    request.answered(200, False, TRIP)
    request.ended("complete", 0)
    request.ended("client_gone", 0)
    request.refused(500, "system.internal")
    assert desk.kept().outcome == "complete"
    assert desk.requests.open == 0


def test_requests_without_an_id_get_one_each() -> None:
    desk = Desk()
    assert len({desk.begin().id for _ in range(100)}) == 100


def test_records_are_written_in_batches_and_in_order() -> None:
    desk = Desk()
    desk.refuse(2 * BATCH + 1)
    assert desk.history.batches == []
    desk.requests.flush()
    assert [len(batch) for batch in desk.history.batches] == [BATCH, BATCH, 1]
    assert desk.requests.pending == 0


def test_what_cannot_be_written_stays_in_order_for_the_next_time() -> None:
    desk = Desk(False, True)
    desk.refuse(3)
    before = [one.id for one in desk.requests._pending]
    desk.requests.flush()
    assert (desk.requests.pending, desk.requests.lost, desk.history.records) == (3, 0, [])
    desk.requests.flush()
    assert [one.id for one in desk.history.records] == before


def test_what_never_can_be_written_is_lost_and_counted() -> None:
    desk = Desk(ValueError("no"), True)
    desk.refuse(BATCH + 2)
    desk.requests.flush()
    assert (len(desk.history.records), desk.requests.lost, desk.requests.pending) == (2, BATCH, 0)


def test_pending_records_are_bounded_and_the_oldest_are_lost() -> None:
    desk = Desk(False)
    desk.refuse(MOST_PENDING + 30)
    desk.requests.flush()
    assert (desk.requests.pending, desk.requests.lost) == (MOST_PENDING, 30)


def test_records_that_come_while_others_cannot_be_written_push_the_oldest_out() -> None:
    desk = Desk(False)
    desk.refuse(MOST_PENDING)
    newest = desk.requests._pending[-1]
    append = desk.history.append

    def busy(records: list[RequestRecord]) -> bool:
        desk.refuse(BATCH // 2)
        return append(records)

    desk.history.append = busy  # type: ignore[method-assign]
    desk.requests.flush()
    assert (desk.requests.pending, desk.requests.lost) == (MOST_PENDING, BATCH // 2)
    assert newest in desk.requests._pending


def test_meters_that_fail_cost_no_record() -> None:
    desk = Desk()
    desk.heard.ended = None  # type: ignore[method-assign, assignment]
    desk.refuse()
    assert desk.kept().status == 503


def test_a_request_is_counted_with_others_or_when_somebody_asks() -> None:
    desk = Desk()
    desk.refuse(3)
    assert (desk.heard.told, desk.requests.open, desk.requests.pending) == ([], 0, 3)
    desk.requests.count()
    desk.requests.count()
    assert desk.heard.told == [("ended", 503, 0, 0)] * 3


def test_while_nobody_counts_the_requests_do_it() -> None:
    desk = Desk()
    desk.refuse(2 * BATCH + 7)
    assert len(desk.heard.told) == 7


def test_counting_lets_others_go_on_and_ends_though_requests_go_on_ending() -> None:
    desk = Desk()
    desk.refuse(2 * AT_ONCE + 1)
    desk.requests._pause = desk.refuse
    desk.requests.count()
    assert (len(desk.heard.told), desk.requests.pending) == (2 * AT_ONCE + 1, 2 * AT_ONCE + 3)


def test_what_is_told_of_a_request_stays_after_its_record_was_made() -> None:
    desk = Desk()
    request = desk.begin()
    request.answered(200, True, TRIP)(CONTENT + USAGE)
    request.ended("complete", 5)
    before = request.figures
    desk.requests.count()
    assert (request.figures, request.begun, before.tokens_out) == (before, True, 2)


def test_prometheus_is_told_of_the_requests_that_ended_just_now() -> None:
    desk = Desk()
    meters = Meters()
    desk.requests._meters = meters
    desk.refuse(2)
    text, _ = scraped(desk.requests, meters, "")
    assert b'hal0_requests_total{endpoint="chat/completions",slot="",status="503"} 2.0' in text


def test_a_list_of_requests_has_those_that_ended_just_now() -> None:
    desk = Desk()
    desk.refuse()
    assert len(desk.requests.select(Filters())) == 1


def test_the_worker_writes_by_itself_and_after_it_was_stopped() -> None:
    clock = at(0)
    ticks = [0.0]
    history = History()
    requests = Requests(history, Heard(), lambda: clock, lambda: ticks[0])
    worker = threading.Thread(target=requests.run, daemon=True)
    worker.start()
    requests.begin("rerank").refused(503, "slot.error")
    eventually(lambda: len(history.records) == 1, "the record is written")
    under_way = requests.begin("rerank")
    requests.begin("rerank").refused(503, "slot.error")
    requests.stop()
    assert len(history.records) == 2
    under_way.refused(503, "system.stopping")
    eventually(lambda: len(history.records) == 3, "the late record is written")
    ticks[0] = 100.0
    worker.join(20)
    assert not worker.is_alive()


def test_the_last_time_to_the_first_token_survives_a_restart() -> None:
    desk = Desk()
    desk.history.known = {"primary": 50, "other": 60}
    desk.begin().answered(200, True, TRIP)
    request = desk.begin()
    request.answered(200, True, TRIP)(CONTENT)
    request.ended("complete", 1)
    desk.requests._remember()
    assert [desk.requests.last_ttft(name) for name in ("primary", "other", "none")] == [0, 60, None]


@pytest.mark.parametrize(
    ("pieces", "read", "outcome", "size"),
    [
        ([CONTENT, USAGE], 9, "complete", len(CONTENT + USAGE)),
        ([CONTENT, USAGE], 1, "client_gone", len(CONTENT)),
        ([], 0, "client_gone", 0),
        ([CONTENT, Broken("cut")], 9, "upstream_broken", len(CONTENT)),
        ([CONTENT, Silent("late")], 9, "upstream_silent", len(CONTENT)),
    ],
)
def test_an_answer_shows_its_body_to_the_tap_and_tells_its_end_once(
    pieces: list[Any], read: int, outcome: str, size: int
) -> None:
    seen_pieces: list[bytes] = []
    ends: list[tuple[str, int]] = []
    reply = FakeReply(200, "text/event-stream", *pieces)
    answer = Answer(reply, b"", reply.chunks(), TRIP)
    answer.tap, answer.on_end = seen_pieces.append, lambda *told: ends.append(told)
    body = iter(answer)
    for _ in range(read):
        next(body, b"")
    answer.close()
    answer.close()
    assert (ends, sum(map(len, seen_pieces))) == ([(outcome, size)], size)


# -- stats


def test_figures_are_kept_for_a_second() -> None:
    clock, history = HandClock(), History()
    stats = Stats(history, clock)
    first = stats.window("1m")
    assert stats.window("1m") is first
    assert history.summed == [(at(940).wall, at(1000).wall, by) for by in ("slot", "endpoint")]
    clock.pass_s(1.0)
    assert stats.window("1m") is not first


def test_figures_that_took_long_are_kept_longer() -> None:
    clock, history = HandClock(), History()
    stats = Stats(history, clock, flush=lambda: clock.pass_s(0.5))
    first = stats.window("24h")
    clock.pass_s(SHARE * 0.5 - 0.1)
    assert stats.window("24h") is first
    clock.pass_s(0.2)
    assert stats.window("24h") is not first


def test_the_last_hour_is_told_without_computing_it() -> None:
    history = History()
    stats = Stats(history, HandClock())
    assert stats.hour == {}
    assert history.summed == []
    worker = threading.Thread(target=stats.run, daemon=True)
    worker.start()
    assert eventually(lambda: stats.hour, "the hour is computed")["primary"].ttft_p50 == 5
    assert {by for *_, by in history.summed} == {"slot"}  # nobody asked for endpoints
    stats.stop()
    worker.join(20)
    assert not worker.is_alive()


@pytest.mark.parametrize(
    ("requests", "took_s", "pause_s"),
    [(0, 0.05, 2.0), (99, 0.05, 2.0), (500, 0.05, 10.0), (10**5, 0.5, 300.0), (0, 4.0, 80.0)],
)
def test_the_last_hour_is_computed_less_often_when_there_is_more(requests: int, took_s: float, pause_s: float) -> None:
    clock, history = HandClock(), History()
    history.requests = requests
    stats = Stats(history, clock, flush=lambda: clock.pass_s(took_s))
    stats.window("1h")
    assert stats.pause_s == pytest.approx(pause_s)


# -- sampling


class Machine:
    """Memory and KV caches: `caches` by base URL."""

    def __init__(self, **caches: KvUsage) -> None:
        self.caches, self.asked = caches, []

    def host(self) -> HostMemory:
        return HostMemory()

    def process(self, pid: int) -> ProcessMemory | None:
        return ProcessMemory(pid * 1000, 0) if pid < 10 else None

    def kv_usage(self, base_url: str) -> KvUsage | None:
        self.asked.append(base_url)
        return self.caches.get(base_url)


class Seen:
    """An observer with a snapshot that the test sets."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.listener: Callable[[Snapshot], None] = lambda _: None

    def subscribe(self, listener: Callable[[Snapshot], None]) -> None:
        self.listener = listener

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.listener(snapshot)


def test_only_llama_cpp_is_asked_for_its_cache() -> None:
    one, other = resident("a", 1, backend_url="a"), resident("b", 20, backend_url="b", recipe="flm")
    machine, observer, usage = Machine(a=KvUsage(0.5, True)), Seen(), KvUsage(0.5, True)
    observer.show(Snapshot(residency=seen(5, one, other)))
    sampling = Sampling(observer, machine, machine, HandClock())  # type: ignore[arg-type]
    sampling.step()
    assert machine.asked == ["a"]
    assert (sampling.of(one).memory_bytes, sampling.of(one).kv_usage) == (1000, usage)
    assert (sampling.of(other).memory_bytes, sampling.of(other).kv_usage) == (None, None)
    assert sampling.of(None).memory_bytes is None


def test_a_busy_server_keeps_its_last_figure_for_a_while_and_another_loading_has_none() -> None:
    one, clock = resident("a", 1, backend_url="a"), HandClock()
    machine, observer, usage = Machine(a=KvUsage(0.5, True)), Seen(), KvUsage(0.5, True)
    observer.show(Snapshot(residency=seen(5, one)))
    sampling = Sampling(observer, machine, machine, clock)  # type: ignore[arg-type]
    sampling.step()
    machine.caches = {}
    clock.pass_s(KEEP_S / 2)
    sampling.step()
    assert sampling.of(one).kv_usage == usage
    assert sampling.of(replace(one, pid=2)).kv_usage is None
    clock.pass_s(KEEP_S / 2)
    sampling.step()
    assert sampling.of(one).kv_usage is None


# -- metering and vitals


def test_loads_and_evictions_are_counted_once_and_the_past_is_not() -> None:
    observer, heard = Seen(), Heard()
    Metering(observer, heard)  # type: ignore[arg-type]
    old = operation("load", "m", 1, finished=2, slot="a", result={"load_ms": 1})
    observer.show(Snapshot(records={"a": Record("a", evictions=3)}, operations=(old,)))
    assert heard.told == []
    loaded = operation("load", "m", 5, finished=7, slot="a", result={"load_ms": 2500})
    failed = operation("load", "n", 5, finished=7, slot="b", error_code="model.load_failed")
    running = operation("load", "o", 5)
    later = Snapshot(
        records={"a": Record("a", reason="evicted", evictions=4), "b": Record("b", reason="crashed", evictions=1)},  # type: ignore[arg-type]
        operations=(loaded, failed, running, old),
    )
    observer.show(later)
    observer.show(later)
    assert sorted(heard.told) == [
        ("evicted", "a", "evicted"),
        ("evicted", "b", "crashed"),
        ("load_failed", "b", "model.load_failed"),
        ("loaded", "a", 2.5),
    ]


def test_the_present_is_read_from_the_services() -> None:
    house = House(slot("primary", "m"))
    desk = Desk()
    house.lemond.put("m")
    assert gauges(house.observer, desk.requests, house.slots.all, house.clock).observation_age_s is None
    with house.running():
        desk.begin()
        now = gauges(house.observer, desk.requests, house.slots.all, house.clock)
    assert (now.lemonade_up, now.open_requests, now.pending_records) == (True, 1, 0)
    assert [(one.slot, one.state, one.in_flight) for one in now.slots] == [("primary", "ready", 0)]
    assert now.observation_age_s is not None
    assert 0 <= now.observation_age_s < 60


def test_a_slot_shows_how_it_fares() -> None:
    desk, machine, observer = Desk(), Machine(a=KvUsage(0.5, True)), Seen()
    one = resident("m", 1, backend_url="a")
    observer.show(Snapshot(residency=seen(5, one)))
    sampling, stats = Sampling(observer, machine, machine, desk.clock), Stats(desk.history, desk.clock)  # type: ignore[arg-type]
    sampling.step()
    checkup = Checkup(desk.requests, stats, sampling)
    assert checkup.vitals("primary", None) == Vitals()
    stats.window("1h")
    desk.history.known = {"primary": 4}
    desk.requests._remember()
    assert checkup.vitals("primary", one) == Vitals(4, 5, 9, 2.5, 1000, KvUsage(0.5, True), uses=1)
