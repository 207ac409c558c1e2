"""A model that lemond evicts makes its slot OFFLINE, never ERROR, and the next request brings it back."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.support.app import App
from tests.support.engines import Engine


def text_of(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def test_a_displaced_slot_is_offline_with_its_reason_and_comes_back(app: App) -> None:
    assert text_of(app.chat("primary"))
    assert text_of(app.chat("second"))

    slot = app.slot_is("primary", "offline", "displaced")
    assert slot["message"] == "evicted to make room for gemma-b (auto-reloads on next request)"
    assert slot["displaced_by"] == "gemma-b"

    assert text_of(app.chat("primary"))
    assert app.slot_is("primary", "ready")["loads"] >= 2


def test_a_model_whose_backend_is_killed_comes_back(app: App) -> None:
    assert text_of(app.chat("primary"))
    before = app.slot_is("primary", "ready")
    resident = next(one for one in app.get("/api/residency").json()["residents"] if one["model"] == "gemma-a")

    os.kill(resident["pid"], signal.SIGKILL)

    answer = app.chat("primary")
    assert text_of(answer)
    after = app.slot_is("primary", "ready")
    assert after["loads"] == before["loads"] + 1
    reasons = [one["data"]["reason"] for one in app.journal(slot="primary") if one["data"].get("to") == "offline"]
    assert reasons[-1] in {"crashed", "evicted"}
    assert not [one for one in app.journal(slot="primary") if one["data"].get("to") == "error"]


def test_a_model_unloaded_behind_our_back_is_evicted_and_comes_back(app: App, lemonade: Engine) -> None:
    assert text_of(app.chat("primary"))
    app.slot_is("primary", "ready")

    requests.post(f"{lemonade.url}/v1/unload", json={"model_name": "gemma-a"}, timeout=60).raise_for_status()

    slot = app.slot_is("primary", "offline", "evicted")
    assert slot["message"] == "model evicted from lemond (auto-reloads on next request)"
    assert text_of(app.chat("primary"))


def test_a_request_that_arrives_before_the_eviction_was_noticed_is_answered(app: App, lemonade: Engine) -> None:
    assert text_of(app.chat("primary"))
    requests.post(f"{lemonade.url}/v1/unload", json={"model_name": "gemma-a"}, timeout=60).raise_for_status()
    assert text_of(app.chat("primary"))


def test_twenty_concurrent_chats_on_two_slots_that_displace_each_other_are_all_answered(app: App) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: app.chat(("primary", "second")[i % 2], max_tokens=2), range(20)))
    assert [answer.text for answer in answers if answer.status_code != 200] == []
    assert [answer.headers["X-Hal0-Slot"] for answer in answers] == ["primary", "second"] * 10
    assert {answer.json()["model"] for answer in answers} == {"gemma-a", "gemma-b"}
