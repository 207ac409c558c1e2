"""Without a script: every page reads, and what has a button is done by a form that leads back to where one was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES, STATES
from tests.e2e.words import says
from tests.support.waiting import eventually

OpenTab = Callable[..., Tab]
DEAD = "button[type=button]:visible"  # does nothing by itself


@pytest.fixture
def tab(box: Box, open_tab: OpenTab) -> Tab:
    return open_tab(box.url, java_script_enabled=False)


def until(tab: Tab, path: str, selector: str, text: str) -> None:
    """Ask for the page again, as a person does, until it says this."""

    def told() -> bool:
        tab.page.goto(tab.url + path)
        return text in " ".join(tab.page.locator(selector).all_inner_texts())

    eventually(told, f"{path} says {text!r}", within=30.0, every=0.2)


def test_every_page_reads_and_shows_no_button_that_needs_a_script(box: Box, tab: Tab) -> None:
    with STATES["normal"].enter(box):
        until(tab, "/models", "tr[data-model='tiny-a']", "Loaded")
        for path in PAGES:
            tab.page.goto(box.url + path)
            says(tab.page, path, "normal")
            expect(tab.page.locator(".noscript")).to_be_visible()
            assert tab.page.locator(DEAD).all_inner_texts() == [], path


def test_a_model_is_loaded_and_unloaded(box: Box, tab: Tab) -> None:
    until(tab, "/models", "tr[data-model='tiny-b']", "On disk")
    tab.page.click("tr[data-model='tiny-b'] button:has-text('Load')")
    assert tab.page.url == f"{box.url}/models"
    until(tab, "/models", "tr[data-model='tiny-b']", "Loaded")
    tab.page.click("tr[data-model='tiny-b'] button:has-text('Unload')")
    until(tab, "/models", "tr[data-model='tiny-b']", "On disk")


def test_a_download_is_begun_stopped_and_its_part_deleted(box: Box, tab: Tab) -> None:
    box.engine.put("registry", total=4_000_000, rate=20_000)
    tab.page.goto(f"{box.url}/models")
    tab.page.fill("#model_name", "user.plain")
    tab.page.click("form.form button")
    expect(tab.page.locator(".said")).to_have_text("The download began.")
    until(tab, "/models", ".download", "of 4 MB")
    for act, words in (("Pause", "Stopped at"), ("Resume", "of 4 MB"), ("Pause", "Stopped at")):
        tab.page.click(f".download button:has-text('{act}')")
        until(tab, "/models", ".download", words)
    tab.page.click(".download button:has-text('Delete part')")
    eventually(lambda: tab.page.reload() and tab.page.locator(".download").count() == 0, "it is gone", every=0.2)
    assert box.app.get("/api/downloads").json() == []


def test_a_slot_is_restarted_and_its_failures_forgotten(box: Box, tab: Tab) -> None:
    with STATES["failed"].enter(box):
        tab.page.goto(f"{box.url}/slots")
        tab.page.click("#slot-bad-more > summary")
        tab.press("bad", "clear")
        box.app.slot_is("bad", "offline")
    assert box.app.chat("primary").ok
    loads = box.app.slot("primary")["loads"]
    tab.page.goto(f"{box.url}/slots")
    tab.page.click("#slot-primary-more > summary")
    tab.press("primary", "restart")
    box.app.wait_for(lambda: box.app.slot("primary")["loads"] == loads + 1, "it was loaded again")


def test_a_refusal_leads_back_to_the_page_that_it_is_about(box: Box, open_tab: OpenTab) -> None:
    box.engine.put("registry", total=4_000_000, rate=20_000)
    box.app.post("/api/models/pull", {"model_name": "user.twice"}).raise_for_status()
    tab = open_tab(box.url, java_script_enabled=False, allowed=("404",))
    until(tab, "/models", ".download", "user.twice")
    for act in ("cancel", "discard"):
        box.app.post(f"/api/downloads/model:user.twice/{act}")
    tab.page.click(".download button:has-text('Pause')")
    expect(tab.page.get_by_role("alert").first).to_be_visible()
    tab.page.click("text=Back")
    assert tab.page.url == f"{box.url}/models"
