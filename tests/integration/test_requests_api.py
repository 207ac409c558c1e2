"""`/api/requests`, `/api/stats`, `/metrics` and the ids of requests: hal0 in a process, over real answers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support import processes
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually


def recorded(app: App, id_: str) -> dict[str, Any]:
    """The record of the request with this id, once it is there."""

    def there() -> dict[str, Any] | None:
        return next((one for one in app.get("/api/requests").json() if one["id"] == id_), None)

    return eventually(there, f"request {id_} is recorded", within=30)


def metric(app: App, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(app.get("/metrics").text)
    samples = [one for family in families for one in family.samples if one.name == name]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


def ask(app: App, id_: str, stream: bool = False, **more: Any) -> requests.Response:
    body = {"model": "primary", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "stream": stream}
    headers = {"X-Request-Id": id_, "X-hal0-Agent": "tester"}
    return requests.post(f"{app.url}/v1/chat/completions", json={**body, **more}, headers=headers, timeout=240)


def test_an_answer_is_recorded_with_its_tokens(app: App) -> None:
    answer = ask(app, "plain-1")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Request-Id"] == "plain-1"
    record, usage = recorded(app, "plain-1"), answer.json()["usage"]
    assert (record["tokens_in"], record["tokens_out"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (record["slot"], record["model"], record["route"], record["path"]) == ("primary", "chat-a", "slot", "direct")
    assert (record["status"], record["outcome"], record["agent"]) == (200, "complete", "tester")
    assert (record["client"], record["endpoint"]) == ("127.0.0.1", "chat/completions")
    assert (record["error_code"], record["ttft_ms"], record["estimated"]) == (None, None, False)
    assert record["total_ms"] >= record["queue_ms"] >= 0


def test_a_stream_is_recorded_with_its_first_token_and_its_slot_shows_it(app: App) -> None:
    assert ask(app, "stream-1", stream=True, ignore_eos=True).status_code == 200
    record = recorded(app, "stream-1")
    assert 0 <= record["ttft_ms"] <= record["total_ms"]
    assert record["tokens_out"] > 0
    assert record["estimated"] == (record["tokens_in"] is None)
    assert app.slot("primary")["ttft_ms"]["last"] == record["ttft_ms"]

    def told() -> dict[str, Any] | None:
        slot = app.slot("primary")
        return slot if slot["ttft_ms"]["p50"] is not None and slot["tokens_per_s"] is not None else None

    slot = eventually(told, "the slot tells its speed", within=60)
    assert slot["ttft_ms"]["p95"] >= slot["ttft_ms"]["p50"]
    window = app.get("/api/stats", params={"window": "1h"}).json()["windows"]["1h"]
    assert window["slots"]["primary"]["ttft_ms"]["p50"] is not None
    assert window["endpoints"]["chat/completions"]["requests"] >= 1


def test_a_stream_that_counts_its_tokens_is_not_estimated(app: App) -> None:
    assert ask(app, "stream-2", stream=True, stream_options={"include_usage": True}).status_code == 200
    record = recorded(app, "stream-2")
    assert record["tokens_in"] > 0
    assert record["estimated"] is False


def test_a_loaded_slot_tells_its_memory_and_its_cache(app: App) -> None:
    assert ask(app, "vitals-1").status_code == 200

    def told() -> dict[str, Any] | None:
        slot = app.slot("primary")
        return slot if slot["kv_usage"] and slot["memory_bytes"] else None

    slot = eventually(told, "the slot's process was sampled", within=60)
    assert 0 < slot["kv_usage"]["ratio"] <= 1
    assert slot["kv_usage"]["derived"] is True
    assert slot["memory_bytes"] > 1 << 20


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "slot", "model"),
    [
        ("chat/completions", {"model": "empty", "messages": [{}]}, 409, "slot.no_model", "empty", None),
        ("chat/completions", {"model": "empty"}, 400, "request.missing_field", "empty", None),
        ("chat/completions", {"model": "damaged", "messages": [{}]}, 503, "slot.error", "damaged", None),
        ("chat/completions", {"model": "nobody", "messages": [{}]}, 404, "dispatch.no_route", None, "nobody"),
        ("chat/completions", {"model": "primary"}, 400, "request.missing_field", "primary", "chat-a"),
        ("chat/completions", {"model": "chat-a"}, 400, "request.missing_field", "primary", "chat-a"),
        ("load", {}, 403, "auth.admin_required", None, None),
    ],
)
def test_a_refusal_is_recorded_with_its_code(
    app: App, path: str, body: dict[str, Any], status: int, code: str, slot: str | None, model: str | None
) -> None:
    answer = app.post(f"/v1/{path}", body)
    assert answer.status_code == status, answer.text
    record = recorded(app, answer.headers["X-Request-Id"])
    assert (record["status"], record["error_code"], record["slot"], record["model"]) == (status, code, slot, model)
    assert record["outcome"] == "refused"
    assert (answer.headers.get("X-Hal0-Slot"), answer.headers.get("X-Hal0-Model")) == (slot, model if slot else None)


def test_a_client_that_leaves_is_recorded_as_gone(app: App) -> None:
    assert ask(app, "warm-1").status_code == 200
    body = {"model": "primary", "stream": True, "max_tokens": 4000, "ignore_eos": True}
    raw = json.dumps({**body, "messages": [{"role": "user", "content": "count"}]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: gone-1\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
        assert b"200 OK" in connection.recv(4096)
    assert recorded(app, "gone-1")["outcome"] == "client_gone"


def test_what_falls_through_is_recorded_too(app: App) -> None:
    answer = requests.post(f"{app.url}/v1/tokenize", json={"text": "hello"}, timeout=60)
    record = recorded(app, answer.headers["X-Request-Id"])
    assert (record["endpoint"], record["route"], record["status"]) == ("tokenize", "fallback", answer.status_code)


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "caf\xe9"])
def test_an_id_that_cannot_be_kept_is_replaced(app: App, given: str) -> None:
    answer = app.get("/v1/models", headers={"X-Request-Id": given})
    assert re.fullmatch(r"req-[0-9a-f]{24}", answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    "path", ["/v1/models", "/api/v1/models", "/v1/health", "/api/slots", "/api/nothing", "/v1/none"]
)
def test_every_answer_of_the_api_has_the_id_of_its_request(app: App, path: str) -> None:
    assert app.get(path, headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"


def test_filters_choose_records_and_the_newest_come_first(app: App) -> None:
    for number in range(3):
        ask(app, f"filter-{number}")
    recorded(app, "filter-2")
    newest = app.get("/api/requests", params={"limit": 2, "agent": "tester", "status": "2xx"}).json()
    assert [one["id"] for one in newest] == ["filter-2", "filter-1"]
    since = app.get("/api/requests", params={"since": newest[1]["seq"], "slot": "primary", "model": "chat-a"}).json()
    assert [one["id"] for one in since] == ["filter-2"]
    earlier = app.get("/api/requests", params={"before": newest[1]["seq"], "limit": 1}).json()
    assert [one["id"] for one in earlier] == ["filter-0"]
    assert app.get("/api/requests", params={"status": "501"}).json() == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"since": "-1"}, "since"),
        ({"before": "x"}, "before"),
        ({"since": "9" * 30}, "since"),
        ({"status": "6xx"}, "status"),
        ({"status": "20"}, "status"),
        ({"slots": "primary"}, "slots"),
    ],
)
def test_a_filter_that_is_none_is_refused_by_name(app: App, query: dict[str, str], param: str) -> None:
    answer = app.get("/api/requests", params=query)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("request.invalid_field", param)


def test_a_window_that_is_none_is_refused(app: App) -> None:
    answer = app.get("/api/stats", params={"window": "1y"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "window")
    assert set(app.get("/api/stats").json()["windows"]) == {"1m", "1h", "24h"}


def test_prometheus_sees_requests_loads_and_states(app: App) -> None:
    before = metric(app, "hal0_requests_total", slot="primary", status="200")
    assert ask(app, "counted-1", stream=True).status_code == 200
    recorded(app, "counted-1")
    assert metric(app, "hal0_requests_total", slot="primary", status="200") == before + 1
    assert metric(app, "hal0_tokens_total", slot="primary", direction="out") > 0
    assert metric(app, "hal0_time_to_first_token_seconds_count", slot="primary") > 0
    assert metric(app, "hal0_load_duration_seconds_count", slot="primary") > 0
    assert metric(app, "hal0_lemonade_up") == 1
    assert metric(app, "hal0_slot_state", slot="empty", state="offline") == 1
    assert metric(app, "hal0_relayed_bytes_total") > 0
    eventually(lambda: metric(app, "hal0_requests_open") == 0, "no request is left open", within=30)


def test_the_journal_names_the_agent_of_an_act(app: App) -> None:
    headers = {"X-hal0-Agent": "tester"}
    answer = app.post("/api/slots/second/load?wait=true", headers=headers)
    assert answer.status_code == 200, answer.text
    loads = app.journal(kind="slot.load", slot="second")
    assert [one["agent"] for one in loads] == ["tester"]


def test_records_and_their_order_survive_a_restart(app: App) -> None:
    ask(app, "kept-1", stream=True)
    last = app.slot("primary")["ttft_ms"]["last"]
    app.stop()
    app.start()
    assert recorded(app, "kept-1")["outcome"] == "complete"
    eventually(lambda: app.slot("primary")["ttft_ms"]["last"] == last, "the last time is remembered", within=30)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing during the block."""
    processes.stop(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_is_under_way_when_hal0_stops_is_told_so_and_on_record(app: App, tiny: Engine) -> None:
    for name in ("primary", "second"):
        app.post(f"/api/slots/{name}/load?wait=true").raise_for_status()
    backends = {name: one["pid"] for name, one in tiny.residents().items()}
    body = {"model": "primary", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4000}
    sent = {"json": {**body, "stream": True, "ignore_eos": True}, "headers": {"X-Request-Id": "open"}, "timeout": 60}
    with (
        stopped(backends["chat-b"]),
        requests.post(f"{app.url}/v1/chat/completions", stream=True, **sent) as stream,
        stopped(backends["chat-a"]),
        ThreadPoolExecutor(2) as pool,
    ):
        waiting = [pool.submit(ask, app, "asked", model="second"), pool.submit(ask, app, "queued")]
        app.wait_for(lambda: metric(app, "hal0_requests_open") == 3, "all are under way")
        app.stop()
        lines = [line for line in stream.iter_lines() if line]
        answers = [one.result() for one in waiting]
    app.start()
    assert json.loads(lines[-1].removeprefix(b"data: "))["error"]["code"] == "system.stopping"
    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [(503, "system.stopping")] * 2
    assert all(int(one.headers["Retry-After"]) > 0 for one in answers)
    ends = [recorded(app, id_) for id_ in ("open", "asked", "queued")]
    assert [one["outcome"] for one in ends] == ["stopped", "refused", "refused"]
    assert {one["error_code"] for one in ends} == {"system.stopping"}
