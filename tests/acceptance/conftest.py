"""A hal0 in front of one Lemonade that holds one model per type: two chat slots that displace each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "gemma-a", "default": True, "wait_s": 600},
    "second": {"type": "llm", "model": "gemma-b", "wait_s": 600},
    "embed": {"type": "embedding", "model": "embed-a", "default": True},
    "rerank": {"type": "reranking", "model": "rerank-a", "default": True},
    "off": {"type": "llm", "model": "gemma-c", "enabled": False},
}


@pytest.fixture(scope="module")
def lemonade(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """The engine under test with real Gemma under three names, one resident per type."""
    gemma = models.gemma()
    with start_engine(max_loaded_models=1, models={f"gemma-{x}": gemma for x in "abc"}) as engine:
        yield engine


@pytest.fixture(scope="module")
def module_app(lemonade: Engine) -> Iterator[App]:
    with hal0(lemonade.url, SLOTS) as app:
        yield app


@pytest.fixture
def app(module_app: App) -> App:
    """The module's hal0, quiet and with lemond in sight."""
    eventually(lambda: module_app.get("/readyz").ok, "hal0 is ready")
    return module_app
