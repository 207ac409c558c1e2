"""Places and queues in real processes: who waits, who is refused, and what is left when a client goes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.app import App, hal0
from tests.support.busy import busy
from tests.support.engines import Engine, embedded_engine
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "queue": 2},
    "brief": {"type": "llm", "model": "chat-b"},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with embedded_engine(max_loaded_models=2) as started:
        yield started


@pytest.fixture(scope="module")
def app(engine: Engine) -> Iterator[App]:
    with hal0(engine.url, SLOTS) as running:
        yield running


def body(slot: str, **more: Any) -> dict[str, Any]:
    return {"model": slot, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, **more}


def queued(app: App, slot: str, number: int) -> None:
    eventually(lambda: app.slot(slot)["queued"] == number, f"{number} wait for {slot}")


def test_a_request_beyond_the_queue_is_refused_and_the_others_are_answered(app: App) -> None:
    with ThreadPoolExecutor(2) as pool:
        with busy(app, "primary"):
            waiting = [pool.submit(app.chat, "primary") for _ in range(2)]
            queued(app, "primary", 2)
            answer = app.chat("primary")
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "slot.busy")
            assert answer.json()["error"]["type"] == "rate_limit_error"
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["X-Hal0-Slot"] == "primary"
            by_model = app.chat("chat-a")
            record = app.get("/api/requests?limit=1").json()[0]
            assert (by_model.status_code, record["status"], record["slot"]) == (429, 429, "primary")
        answers = [one.result() for one in waiting]
    assert [one.status_code for one in answers] == [200, 200]
    assert all(int(one.headers["X-Hal0-Queue-Ms"]) > 0 for one in answers)
    assert [one.headers["X-Hal0-Load-Ms"] for one in answers] == ["0", "0"]
    assert (app.slot("primary")["in_flight"], app.slot("primary")["queued"]) == (0, 0)


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "not streaming"])
def test_a_client_that_leaves_the_queue_frees_its_place(app: App, stream: bool) -> None:
    raw = json.dumps(body("primary", stream=stream)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(raw)}\r\n\r\n"
    with busy(app, "primary"):
        with socket.create_connection(("127.0.0.1", app.port), timeout=60) as connection:
            connection.sendall(head.encode() + raw)
            queued(app, "primary", 1)
        queued(app, "primary", 0)
        assert app.slot("primary")["in_flight"] == 1
    assert app.chat("primary").status_code == 200


def test_a_request_whose_time_is_up_is_told_when_to_come_back(app: App) -> None:
    with busy(app, "brief"):
        requests.patch(f"{app.url}/api/slots/brief", json={"wait_s": 1}, timeout=60).raise_for_status()
        answer = app.chat("brief")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "slot.loading")
        assert int(answer.headers["Retry-After"]) >= 1
        assert int(answer.headers["X-Hal0-Queue-Ms"]) >= 900


def test_an_interactive_request_is_served_before_a_batch_one(app: App) -> None:
    ended: list[str] = []

    def ask(priority: str) -> None:
        url, headers = f"{app.url}/v1/chat/completions", {"X-Hal0-Priority": priority}
        answer = requests.post(url, json=body("primary"), headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        ended.append(priority)

    with ThreadPoolExecutor(2) as pool:
        with busy(app, "primary"):
            batch = pool.submit(ask, "batch")
            queued(app, "primary", 1)
            interactive = pool.submit(ask, "Interactive")
            queued(app, "primary", 2)
        batch.result()
        interactive.result()
    assert ended == ["Interactive", "batch"]


def test_an_unknown_priority_is_refused_with_the_known_ones(app: App) -> None:
    headers = {"X-Hal0-Priority": "urgent"}
    answer = requests.post(f"{app.url}/v1/chat/completions", json=body("primary"), headers=headers, timeout=60)
    assert answer.status_code == 400
    assert "interactive, batch" in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "X-Hal0-Priority"


def test_one_clients_many_requests_do_not_keep_another_waiting(app: App) -> None:
    ended: list[str] = []

    def ask(key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        answer = requests.post(f"{app.url}/v1/chat/completions", json=body("primary"), headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        ended.append(key)

    requests.patch(f"{app.url}/api/slots/primary", json={"queue": 8}, timeout=60).raise_for_status()
    with ThreadPoolExecutor(4) as pool:
        with busy(app, "primary"):
            asked = []
            for number, key in enumerate(["much", "much", "much", "little"], 1):
                asked.append(pool.submit(ask, key))
                queued(app, "primary", number)
        for one in asked:
            one.result()
    assert ended.index("little") <= 1
