"""Options and fixtures shared by every test; the fixtures live in tests.support.fixtures."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("hal0", deadline=None)  # a busy machine is no failure
settings.load_profile("hal0")

pytest_plugins = ["tests.support.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=["embedded", "lemond"],
        default=os.environ.get("HAL0_TEST_ENGINE", "embedded"),
        help="what the contract suite runs against (default embedded, or HAL0_TEST_ENGINE)",
    )
