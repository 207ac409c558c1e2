"""Fixtures that start a Lemonade. `engine` is one per module, made idle and unpinned before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests

from tests.support.engines import TARGETS, Engine


@pytest.fixture(scope="session")
def start_engine(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Engine]]:
    """`embedded_engine` or `real_lemond`, as `--engine` says; call it with their arguments."""
    return TARGETS[request.config.getoption("--engine")]


@pytest.fixture(scope="module")
def module_engine(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    """One engine for the tests of a module: two residents per type, the default models."""
    with start_engine(max_loaded_models=2) as engine:
        yield engine


@pytest.fixture
def engine(module_engine: Engine) -> Engine:
    """The module's engine with nothing loaded, nothing pinned and its limit at two.

    Made so by a restart (0.2 s): lemond takes two seconds to stop a backend, and as long to bury a dead one.
    """
    health = module_engine.health()
    if health["max_models"]["llm"] != 2:
        requests.post(f"{module_engine.url}/internal/set", json={"max_loaded_models": 2}, timeout=10)
    if health["all_models_loaded"]:
        module_engine.restart()
    return module_engine
