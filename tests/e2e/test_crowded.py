"""Thirty slots, the longest names there are, and letters of other alphabets: every page still fits a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES
from tests.support.app import App, hal0

OpenTab = Callable[..., Tab]
LONG = "user.Größenwahn-Modèle-模型-" + "Instruct-2507-" * 7 + "Q4_K_M"  # 120 letters and no space
NAMES = [f"{'abcdefghij'[number % 10]}-slot-with-a-long-name-{number:02}" for number in range(30)]
SLOTS = {name: {"type": "llm", "model": f"{LONG}{number:02}"} for number, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def crowd(shared_box: Box) -> Iterator[App]:
    with hal0(shared_box.engine.url, SLOTS) as app:
        yield app


def test_every_page_fits_a_phone(crowd: App, open_tab: OpenTab) -> None:
    slot, model = NAMES[0], f"{LONG}00"
    tab = open_tab(crowd.url, viewport={"width": 320, "height": 640})
    for path in (*PAGES, f"/slots/{slot}/edit", f"/slots/{slot}/delete", f"/slots/{slot}/swap?model={model}"):
        tab.open(path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 320, path
    tab.open("/slots")
    expect(tab.page.locator("#slot-grid > .card")).to_have_count(len(NAMES))
    assert tab.page.evaluate("document.querySelectorAll('*').length") < 1600
    assert tab.axe() == []


def test_an_open_page_of_thirty_slots_hears_little(crowd: App, open_tab: OpenTab) -> None:
    tab = open_tab(crowd.url).open("/slots")
    crowd.post(f"/api/slots/{NAMES[3]}/pin").raise_for_status()
    expect(tab.page.locator(f"#slot-{NAMES[3]} dl")).to_contain_text("pinned")
    assert not tab.reloaded
