"""Clients that leave at any moment leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.soak import aborts, traces
from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine, user_model

SECONDS = {"lemond": 60.0, "embedded": 30.0}
GIVE_UP_S = 300.0  # a slow machine takes longer until somebody has left at every stage
SLOTS = {
    **{f"slot-{x}": {"type": "llm", "model": f"chat-{x}"} for x in "abc"},
    "embed": {"type": "embedding", "model": "embed-a"},
}


@pytest.fixture(scope="module")
def engine(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """Three chat models over two places, and an embedder."""
    chat = {f"chat-{x}": models.chat() for x in "abc"}
    listed = {"embed-a": user_model(models.embed(), "embeddings")}
    with start_engine(max_loaded_models=2, models=chat, user_models=listed) as started:
        yield started


@pytest.fixture(scope="module")
def app(engine: Engine) -> Iterator[App]:
    with hal0(engine.url, SLOTS) as running:
        yield running


def test_clients_that_leave_at_random_leave_nothing_behind(app: App, engine: Engine) -> None:
    aborts.run(app, list(SLOTS), seconds=5, seed=1)
    before = traces.at_rest(app, engine)
    seen = aborts.run(app, list(SLOTS), SECONDS[engine.name], within=GIVE_UP_S)
    assert seen.missed() == [], seen
    assert seen.failures == []
    traces.no_more_than(app, engine, before)
