"""A lemond that is frozen is restarted by `hal0 drift`; one that waits for a busy model is left alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.contract import client
from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.systemctl import Systemctl
from tests.support.waiting import eventually

SLOTS = {"primary": {"type": "llm", "model": "chat-a", "ctx_size": 65536, "on_evict": "restore"}}
LIMIT_S = 5


@pytest.fixture
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(models={"chat-a": models.chat()}, global_timeout=LIMIT_S) as engine:
        yield engine


@pytest.fixture
def systemctl(tmp_path: Path) -> Systemctl:
    return Systemctl(tmp_path / "bin")


@pytest.fixture
def app(tiny: Engine, systemctl: Systemctl) -> Iterator[App]:
    with hal0(tiny.url, SLOTS, PATH=systemctl.path) as running:
        assert running.chat("primary").status_code == 200
        running.slot_is("primary", "ready")
        assert running.drift().returncode in {0, 3}
        yield running


def answering(app: App) -> list[str] | None:
    """One run of the checker; the answers that it took as the reason of a silence, once it had to think of one."""
    app.drift()
    db = sqlite3.connect(app.home / "var" / "hal0.db")
    try:
        watch: dict[str, Any] = json.loads(db.execute("SELECT watch FROM watchdog").fetchone()[0])
    finally:
        db.close()
    return watch["answering"]


def test_a_frozen_lemond_is_restarted_and_its_slots_come_back(app: App, tiny: Engine, systemctl: Systemctl) -> None:
    with tiny.frozen():
        runs = [app.drift() for _ in range(3)]
        assert [one.returncode for one in runs] == [1, 1, 1]
        assert runs[2].stdout.splitlines()[-2:] == [
            "lemond.hang: lemond hangs: /live failed 3 times in a row",
            "lemond.restart: lemond.service is restarted: it hung",
        ]
        assert systemctl.asked == ["show lemond.service lemonade-server.service", "restart lemond.service"]
        tiny.restart()  # what systemd does then
    app.slot_is("primary", "ready")
    assert app.chat("primary").status_code == 200
    assert app.drift().returncode in {0, 3}
    assert app.get("/api/drift").json() == []
    assert app.drift().returncode == 0
    assert len(systemctl.restarts) == 1


def test_a_lemond_that_waits_for_a_busy_model_is_left_alone(app: App, tiny: Engine, systemctl: Systemctl) -> None:
    unload = {"model_name": "chat-a"}
    with client.streaming(tiny, "chat-a") as stream, client.background(client.post, tiny, "/v1/unload", unload):
        eventually(lambda: answering(app), "the answer explains the silence")
        stream.close()
    assert systemctl.asked == []
    assert app.journal(kind="lemond.hang") == []
