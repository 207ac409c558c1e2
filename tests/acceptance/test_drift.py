"""An eviction is written as OFFLINE whoever sees it first: the API's observer or `hal0 drift` alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests

from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine


@pytest.fixture(scope="module")
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=1, models={"chat-a": models.chat(), "chat-b": models.chat()}) as engine:
        yield engine


SLOTS = {"primary": {"type": "llm", "model": "chat-a"}, "second": {"type": "llm", "model": "chat-b"}}


def stored(app: App, slot: str) -> tuple[str, str, str]:
    """State, reason and message as the database has them."""
    with sqlite3.connect(app.home / "var" / "hal0.db") as db:
        row: tuple[str, str, str] = db.execute(
            "SELECT state, reason, message FROM slot_state WHERE slot = ?", (slot,)
        ).fetchone()
    db.close()
    return row


def evict(engine: Engine, model: str) -> None:
    requests.post(f"{engine.url}/v1/unload", json={"model_name": model}, timeout=60).raise_for_status()


def test_with_the_api_stopped_drift_alone_writes_the_eviction(tiny: Engine) -> None:
    with hal0(tiny.url, SLOTS) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        app.stop()
        evict(tiny, "chat-a")

        first, second = app.drift("--json"), app.drift()

        assert first.returncode == 3, first.stderr
        assert [one["slot"] for one in json.loads(first.stdout)["findings"]] == ["primary"]
        assert stored(app, "primary") == (
            "offline",
            "evicted",
            "model evicted from lemond (auto-reloads on next request)",
        )
        assert (second.returncode, second.stdout) == (0, "")
        app.start()
        assert app.slot("primary")["reason"] == "evicted"
        assert app.chat("primary").status_code == 200


def test_with_the_api_stopped_drift_sees_who_displaced_whom(tiny: Engine) -> None:
    with hal0(tiny.url, SLOTS) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        app.stop()
        requests.post(f"{tiny.url}/v1/load", json={"model_name": "chat-b"}, timeout=60).raise_for_status()
        assert app.drift().returncode == 3
        assert stored(app, "primary")[:2] == ("offline", "displaced")
        assert stored(app, "second")[0] == "ready"


def test_with_the_api_running_both_write_the_same_once(tiny: Engine) -> None:
    with hal0(tiny.url, SLOTS) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        evict(tiny, "chat-a")
        codes = {app.drift().returncode for _ in range(5)}
        assert codes <= {0, 3}
        app.slot_is("primary", "offline", "evicted")
        told = [one for one in app.journal(slot="primary") if one["data"].get("to") == "offline"]
        assert len(told) == 1


def test_without_lemond_drift_says_so_and_changes_no_state(tiny: Engine) -> None:
    with hal0(tiny.url, SLOTS) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        app.stop()
        tiny.kill9()
        try:
            blind = app.drift()
            assert blind.returncode == 1
            assert "could not be observed" in blind.stderr
            assert stored(app, "primary")[0] == "ready"
        finally:
            tiny.start()
        assert app.drift().returncode == 3
        assert stored(app, "primary")[:2] == ("offline", "lemond_restarted")


def test_a_configuration_that_is_not_the_wanted_one_is_told_once(tiny: Engine) -> None:
    with hal0(tiny.url, SLOTS) as app:
        (app.home / "etc" / "hal0.toml").write_text("[lemonade.want]\nmax_loaded_models = 8\n")
        first, second = app.drift(), app.drift()
        assert first.returncode == 3
        assert "config.drift: lemond has max_loaded_models = 1, hal0.toml wants 8" in first.stdout
        assert second.returncode == 0
        assert [one["key"] for one in app.get("/api/drift").json()] == ["max_loaded_models"]


def test_a_configuration_that_a_restart_of_lemond_lost_is_set_again(
    start_engine: Callable[..., AbstractContextManager[Engine]],
) -> None:
    with start_engine(max_loaded_models=1) as engine, hal0(engine.url, SLOTS) as app:
        app.stop()
        (app.home / "etc" / "hal0.toml").write_text("[lemonade.want]\nmax_loaded_models = 3\n")
        app.start()
        assert app.drift().returncode == 3
        assert engine.health()["max_models"]["llm"] == 1

        engine.kill9()
        app.wait_for(lambda: not app.get("/readyz").ok, "hal0 sees that lemond is gone")
        engine.start()

        told = app.wait_for(lambda: [one for one in app.journal(kind="config.drift") if one["source"] == "keeper"], "")
        assert [one["data"] for one in told] == [{"reapplied": {"max_loaded_models": 3}}]
        assert engine.health()["max_models"]["llm"] == 3
        assert app.drift().returncode in {0, 3}
        assert app.get("/api/drift").json() == []
