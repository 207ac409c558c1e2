"""A load that cannot go well never reaches lemond: the refusal says what to do, and nobody is evicted for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any

import pytest
import requests

from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.processes import resident_bytes

GIB = 1024**3
HOLDING = {"chat-a", "embed-a"}
SLOTS: dict[str, dict[str, Any]] = {
    "primary": {"type": "llm", "model": "chat-a"},
    "embed": {"type": "embedding", "model": "embed-a"},
    "try": {"type": "llm"},
}


@pytest.fixture(scope="module")
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def module_app(tiny: Engine) -> Iterator[App]:
    with hal0(tiny.url, SLOTS) as running:
        yield running


@pytest.fixture
def app(module_app: App, tiny: Engine) -> App:
    """hal0 with a chat model and an embedder resident, and one place free."""
    for name in ("primary", "embed"):
        assert module_app.post(f"/api/slots/{name}/load?wait=true").status_code == 200
    assert set(tiny.residents()) == HOLDING
    return module_app


def tried(app: App, **definition: Any) -> requests.Response:
    """The answer to a load of the slot `try` with this definition."""
    changed = requests.put(f"{app.url}/api/slots/try", json={"type": "llm", **definition}, timeout=30)
    assert changed.status_code == 200, changed.text
    return app.post("/api/slots/try/load?wait=true")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "model.corrupt": ({"model": "broken"}, "broken.gguf: truncated"),
    "args.unknown": ({"model": "chat-b", "llamacpp_args": "--no-such-flag"}, "has no --no-such-flag"),
    "model.context_exceeded": ({"model": "chat-b", "ctx_size": 65537}, "takes 65536 at most"),
    "model.not_downloaded": ({"model": "missing-a"}, "POST /api/models/pull"),
    "memory.insufficient": (
        {"model": "chat-b", "ctx_size": 1 << 30, "max_in_flight": 1 << 14},
        "'chat-b' needs 512.5 GiB, but ",
    ),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_load_that_cannot_go_well_is_refused_and_nobody_is_evicted(app: App, tiny: Engine, code: str) -> None:
    definition, text = REFUSED[code]
    before = tiny.residents()
    refused = tried(app, **definition)
    assert refused.json()["error"]["code"] == code
    assert refused.status_code == 409
    assert text in refused.json()["error"]["message"]
    asked = app.chat("try")
    assert asked.json()["error"]["code"] == code
    assert {name: one["pid"] for name, one in tiny.residents().items()} == {
        name: one["pid"] for name, one in before.items()
    }


def test_the_numbers_come_with_the_refusal(app: App) -> None:
    details = tried(app, **REFUSED["memory.insufficient"][0]).json()["error"]["details"]
    assert details["needs"] > 512 * GIB > details["free"] > 0
    assert (details["would_free"], details["learned"]) == (0, False)


def test_a_swap_to_what_cannot_be_loaded_does_not_unload_the_old(app: App, tiny: Engine) -> None:
    before = tiny.residents()["chat-a"]["pid"]
    refused = app.post("/api/slots/primary/swap?wait=true", {"model": "broken"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model.corrupt")
    assert tiny.residents()["chat-a"]["pid"] == before
    assert app.slot("primary")["model"] == "chat-a"


def test_a_flag_that_is_known_is_loaded_and_the_load_is_measured(app: App, tiny: Engine) -> None:
    assert tried(app, model="chat-b", llamacpp_args="--temp 0.5").status_code == 200
    with closing(sqlite3.connect(app.home / "var" / "hal0.db")) as db:
        measured = dict(db.execute("SELECT model, bytes FROM memory_use"))
    assert set(measured) >= {"chat-a", "chat-b", "embed-a"}
    now = resident_bytes(tiny.residents()["chat-b"]["pid"])
    assert now / 2 < measured["chat-b"] < now * 2
    assert app.post("/api/slots/try/unload?wait=true").status_code == 200
