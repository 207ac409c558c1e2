"""Fixtures of the browser tests: the browser, and tabs whose complaints fail the test that opened them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.box import Box, filled
from tests.e2e.browser import WATCH, Tab, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with chromium() as browser:
        yield browser


OpenTab = Callable[..., Tab]


def noon() -> str:
    """A time zone in which it is about noon: what a page says of today does not become yesterday's in the middle."""
    west = datetime.now(UTC).hour - 12
    return f"Etc/GMT{west:+d}"


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """`open_tab(url, allowed=(), **context options)`: a tab of its own session, held to silence at the end."""
    tabs: list[Tab] = []

    def begin(url: str, allowed: tuple[str, ...] = (), **options: Any) -> Tab:
        context = browser.new_context(**{"timezone_id": noon(), **options})
        context.add_init_script(WATCH)
        tab = Tab(context.new_page(), url, context, allowed)
        tab.listen()
        tabs.append(tab)
        return tab

    yield begin
    said = [line for tab in tabs for line in tab.complaints]
    for tab in tabs:
        tab.context.close()
    assert said == []


@pytest.fixture(scope="session")
def shared_box() -> Iterator[Box]:
    """One hal0 for all tests of pages."""
    with filled() as box:
        yield box


@pytest.fixture
def box(shared_box: Box) -> Box:
    """The shared one with nothing loaded."""
    shared_box.at_rest()
    return shared_box
