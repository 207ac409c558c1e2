"""Faults that only root can make: a full disk under the state folder, and a wall clock that is stepped."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually

SLOTS = {"primary": {"type": "llm", "model": "chat-a"}, "second": {"type": "llm", "model": "chat-b"}}


@pytest.fixture(scope="module")
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=2, models={"chat-a": models.chat(), "chat-b": models.chat()}) as engine:
        yield engine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Write until the disk is full."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


def evict(engine: Engine, model: str) -> None:
    requests.post(f"{engine.url}/v1/unload", json={"model_name": model}, timeout=60).raise_for_status()


def stored(app: App, slot: str) -> tuple[str, str]:
    with sqlite3.connect(app.home / "var" / "hal0.db") as db:
        row: tuple[str, str] = db.execute("SELECT state, reason FROM slot_state WHERE slot = ?", (slot,)).fetchone()
    db.close()
    return row


def test_on_a_full_disk_hal0_serves_and_tells_the_truth_and_writes_it_down_afterwards(
    tiny: Engine, small_disk: Path
) -> None:
    with hal0(tiny.url, SLOTS, home=small_disk) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        ballast = fill(small_disk)

        evict(tiny, "chat-a")
        app.slot_is("primary", "offline", "evicted")
        assert app.chat("primary").status_code == 200
        assert app.chat("second").status_code == 200
        app.slot_is("second", "ready")
        refused = requests.patch(f"{app.url}/api/slots/second", json={"labels": ["x" * 9000]}, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "system.storage")
        assert app.slot("second")["labels"] == []

        ballast.unlink()
        told = app.wait_for(lambda: app.journal(kind="system.storage"), "the journal tells of the full disk")
        assert len(told) == 1
        app.wait_for(lambda: stored(app, "second")[0] == "ready", "what was not written is written")
        assert stored(app, "primary")[0] == "ready"


@pytest.fixture(scope="module")
def step_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preload library of `step_clock.c`."""
    library = tmp_path_factory.mktemp("clock") / "step_clock.so"
    source = Path(__file__).with_name("step_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("step", [-259_200, 259_200], ids=["back", "ahead"])
def test_a_step_of_the_wall_clock_changes_no_state(tiny: Engine, tmp_path: Path, step_clock: Path, step: int) -> None:
    clock = tmp_path / "seconds"
    clock.write_text("0")
    with hal0(tiny.url, SLOTS, LD_PRELOAD=str(step_clock), STEP_CLOCK=str(clock)) as app:
        assert app.chat("primary").status_code == 200
        before = app.slot_is("primary", "ready")

        clock.write_text(str(step))
        eventually(lambda: _stepped(app, before["since"], step), "hal0 sees the other time")
        assert app.slot("primary")["version"] == before["version"]
        evict(tiny, "chat-a")
        app.slot_is("primary", "offline", "evicted")
        assert app.chat("primary").status_code == 200
        assert app.slot_is("primary", "ready")["loads"] == before["loads"] + 1
        assert app.drift().returncode == 0


def _stepped(app: App, since: float, step: int) -> bool:
    moved: float = app.get("/api/residency").json()["taken_at"] - since
    return abs(moved) > 86_400 and (moved > 0) == (step > 0)
