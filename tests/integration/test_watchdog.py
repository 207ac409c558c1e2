"""The watchdog against the embedded engine in trouble: what hangs is restarted, what only takes long is not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters import clock
from tests.contract import client
from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine, embedded_engine
from tests.support.systemctl import Systemctl
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "ctx_size": 60_000},
    "second": {"type": "llm", "model": "chat-b"},
}
SETTINGS = "[observer]\ntimeout_s = 0.3\n"
LIMIT_S = 3


@pytest.fixture(scope="module")
def module_engine() -> Iterator[Engine]:
    tiny = {"chat-a": models.chat(), "chat-b": models.chat()}
    with embedded_engine(models=tiny, chaos=True, global_timeout=LIMIT_S) as engine:
        yield engine


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    yield module_engine
    module_engine.release()


@pytest.fixture
def systemctl(tmp_path: Path) -> Systemctl:
    return Systemctl(tmp_path / "bin")


@pytest.fixture
def app(engine: Engine, systemctl: Systemctl) -> Iterator[App]:
    """hal0 with lemond's chat-a loaded, seen by one run of the checker."""
    with hal0(engine.url, SLOTS, PATH=systemctl.path) as running:
        (running.home / "etc" / "hal0.toml").write_text(SETTINGS)
        assert running.chat("primary").status_code == 200
        running.drift()
        assert watched(running)["limit_s"] == LIMIT_S
        yield running


def watched(app: App) -> dict[str, Any]:
    """What the watchdog remembers."""
    db = sqlite3.connect(app.home / "var" / "hal0.db")
    try:
        found: dict[str, Any] = json.loads(db.execute("SELECT watch FROM watchdog").fetchone()[0])
    finally:
        db.close()
    return found


def considered(app: App) -> dict[str, Any] | None:
    """One run of the checker; what it remembers, once it has thought of a restart."""
    app.drift()
    known = watched(app)
    return known if known["asked_at"] is not None else None


def test_a_health_that_hangs_for_no_reason_restarts_lemond_once(app: App, engine: Engine, systemctl: Systemctl) -> None:
    with engine.fault("hang"):
        first = app.drift()
        assert (first.returncode, systemctl.asked) == (1, [])
        eventually(lambda: considered(app), "a restart is considered")
        again = app.drift()
    assert systemctl.restarts == ["restart lemond.service"]
    assert (again.returncode, again.stdout) == (1, "")
    hang, restart = app.journal(kind="lemond.hang"), app.journal(kind="lemond.restart")
    assert [one["message"] for one in hang] == [
        f"lemond hangs: no word of its health for more than {LIMIT_S} s, and nothing explains it"
    ]
    assert [one["data"]["sign"] for one in restart] == ["health"]
    assert app.drift().returncode == 0
    assert app.get("/api/drift").json() == []


def test_three_dead_lives_in_a_row_restart_lemond(app: App, engine: Engine, systemctl: Systemctl) -> None:
    app.stop()
    with engine.fault("hang", what="everything"):
        codes = [app.drift().returncode for _ in range(2)]
        assert (codes, systemctl.asked) == ([1, 1], [])
        third = app.drift("--json")
    assert systemctl.restarts == ["restart lemond.service"]
    kinds = [one["kind"] for one in json.loads(third.stdout)["findings"]]
    assert (third.returncode, kinds) == (1, ["lemond.hang", "lemond.restart"])


def test_a_lemond_that_was_stopped_on_purpose_is_not_started(app: App, engine: Engine, systemctl: Systemctl) -> None:
    systemctl.unit("inactive")
    with engine.fault("hang", what="everything"):
        codes = [app.drift().returncode for _ in range(5)]
    assert codes == [1] * 5
    assert (systemctl.restarts, len(systemctl.asked)) == ([], 1)
    assert app.journal(kind="lemond.hang") == []


def test_a_load_of_ours_explains_a_silence(app: App, engine: Engine, systemctl: Systemctl) -> None:
    def overdue() -> bool:
        app.drift()
        since = watched(app)["silent_since"]
        return since is not None and clock.now().tick - since > 2 * LIMIT_S

    with engine.fault("slow", model="chat-b"):
        app.post("/api/slots/second/load")
        app.slot_is("second", "starting")
        with engine.fault("hang"):
            eventually(overdue, "the silence is long")
            assert app.slot("second")["state"] == "starting"
    app.slot_is("second", "ready")
    assert systemctl.asked == []


def test_an_answer_that_lemond_waits_for_explains_a_silence(app: App, engine: Engine, systemctl: Systemctl) -> None:
    unload = {"model_name": "chat-a"}
    with client.streaming(engine, "chat-a") as stream, client.background(client.post, engine, "/v1/unload", unload):
        known = eventually(lambda: considered(app), "a restart is considered")
        assert len(known["answering"]) == 1
        assert systemctl.asked == []
        stream.close()
    assert app.journal(kind="lemond.hang") == []


def grown_older(app: App, seconds: float) -> None:
    """The silence that is recorded has lasted so much longer."""
    db = sqlite3.connect(app.home / "var" / "hal0.db")
    try:
        db.execute("UPDATE lemond SET link_since = link_since - ?", (seconds,))
        path = "$.silent_since"
        db.execute("UPDATE watchdog SET watch = json_set(watch, ?, json_extract(watch, ?) - ?)", (path, path, seconds))
        db.commit()
    finally:
        db.close()


def test_a_health_that_came_back_unseen_is_asked_before_anything_is_restarted(
    app: App, engine: Engine, systemctl: Systemctl
) -> None:
    app.stop()
    with engine.fault("hang"):
        assert app.drift().returncode == 1
    grown_older(app, 35.0)
    assert app.drift().returncode == 0
    assert systemctl.asked == []


def test_turned_off_it_restarts_nothing(app: App, engine: Engine, systemctl: Systemctl) -> None:
    (app.home / "etc" / "hal0.toml").write_text(SETTINGS + "[watchdog]\nenabled = false\n")
    with engine.fault("hang", what="everything"):
        assert [app.drift().returncode for _ in range(4)] == [1] * 4
    assert systemctl.asked == []


def test_a_restart_that_polkit_refuses_is_an_error_in_the_journal(
    app: App, engine: Engine, systemctl: Systemctl
) -> None:
    systemctl.refuse("Access denied")
    with engine.fault("hang", what="everything"):
        for _ in range(4):
            app.drift()
    told = [one for one in app.journal(kind="lemond.restart") if one["level"] == "error"]
    assert [one["message"] for one in told] == ["lemond.service could not be restarted: Access denied"]
