"""The banner about Lemonade: what a person can do about it does what it says."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import STATES

OpenTab = Callable[..., Tab]


def test_a_lemonade_that_is_down_is_started_or_one_is_told_how(box: Box, open_tab: OpenTab) -> None:
    known, asked = box.app.journal(limit=1)[-1]["id"], len(box.systemctl.restarts)
    with STATES["down"].enter(box) as url:
        tab = open_tab(url, allowed=("409",)).open("/")
        banner = tab.page.locator("#lemonade")
        expect(banner.get_by_role("link", name="Show its log")).to_have_attribute("href", "/journal/lemonade")
        box.systemctl.refuse("Access denied")
        plain = open_tab(url, allowed=("409",), java_script_enabled=False)
        plain.page.goto(f"{url}/slots")
        plain.page.click("#start-lemonade")
        expect(plain.page.get_by_role("alert").first).to_contain_text("Type: sudo systemctl restart lemond.service")
        tab.page.click("#start-lemonade")
        expect(tab.page.locator("#alerts")).to_contain_text("Type: sudo systemctl restart lemond.service")
        box.systemctl.refuse("")
        tab.page.click("#start-lemonade")
        expect(tab.page.locator("#toasts")).to_contain_text("Lemonade is being started.")
        expect(banner).to_contain_text("Lemonade is starting, as you asked at")
        assert box.systemctl.restarts[asked:] == ["restart lemond.service"] * 3
        told = box.app.journal(since=known, kind="system.lemond_start")
        assert [one["level"] for one in told] == ["error", "error", "info"]
        assert not tab.reloaded
        plain.page.goto(f"{url}/slots")
        expect(plain.page.locator("#lemonade")).to_contain_text("Lemonade is starting, as you asked at")
