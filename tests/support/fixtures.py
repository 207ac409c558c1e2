"""Fixtures that start a Lemonade. `engine` is one per module, made idle and unpinned before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests

from tests.support import processes
from tests.support.engines import TARGETS, Engine
from tests.support.waiting import eventually


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
    """The module's engine with nothing loaded, nothing pinned and its limit at two."""
    if module_engine.health()["max_models"]["llm"] != 2:
        requests.post(f"{module_engine.url}/internal/set", json={"max_loaded_models": 2}, timeout=10)
    eventually(lambda: _emptied(module_engine), "the engine is empty", within=120)
    return module_engine


def _emptied(engine: Engine) -> bool:
    """Kill the backends, which lemond itself takes two seconds each to stop, then unload what is left of them."""
    backends = [int(entry["pid"]) for entry in engine.residents().values()]
    processes.kill(*backends)
    requests.post(f"{engine.url}/v1/unload", json={}, timeout=60)
    return not engine.residents()
