"""A hal0 in front of an engine with tiny models, started once for a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.support.app import App, hal0
from tests.support.engines import Engine

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "default": True},
    "second": {"type": "llm", "model": "chat-b"},
    "embed": {"type": "embedding", "model": "embed-a", "default": True},
    "empty": {"type": "llm"},
    "damaged": 'type = "llm"\nmodle = "chat-a"\n',
}


@pytest.fixture(scope="module")
def tiny(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """Three tiny chat models, an embedder, a reranker, a broken file; two residents per type."""
    with start_engine(max_loaded_models=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def app(tiny: Engine) -> Iterator[App]:
    with hal0(tiny.url, SLOTS) as running:
        yield running
