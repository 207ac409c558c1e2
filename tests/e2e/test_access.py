"""Browsers on other machines: they look, are told how to get the right to change things, and lose it with the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.box import ADMIN_KEY, ELSEWHERE, Box
from tests.e2e.browser import GONE, Tab

HARMLESS = {"Details bad", "Filter", "Show", "Search", "Save Appearance"}
OpenTab = Callable[..., Tab]
PRESSED = "main button:visible, main a[data-right]:visible, main a[data-dialog]:visible"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_who_may_only_look_is_shown_no_button_that_would_be_refused(box: Box, open_tab: OpenTab, script: bool) -> None:
    tab = open_tab(box.url, extra_http_headers=ELSEWHERE, java_script_enabled=script)
    for path in ("/", "/slots", "/models", "/settings", "/slots/new", "/slots/second/delete"):
        tab.page.goto(box.url + path)
        expect(tab.page.locator("#readonly")).to_contain_text("Changes from other machines need the admin key.")
        left = [one.inner_text() for one in tab.page.locator(PRESSED).all()]
        assert {" ".join(one.split()) for one in left} <= HARMLESS, path


def test_the_key_gives_the_right_and_another_key_takes_it(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, extra_http_headers=ELSEWHERE, allowed=("403", *GONE))
    tab.open("/slots")
    tab.page.click("#sign-in")
    tab.page.fill("#key", "not it")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#key-problem")).to_have_text("That is not the admin key.")
    assert tab.axe() == []
    tab.page.fill("#key", ADMIN_KEY)
    tab.page.click("text=Sign in >> nth=-1")
    tab.page.wait_for_url("**/slots")
    tab.link("live")
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    key = box.app.home / "etc" / "admin.key"
    key.write_text("another key")
    try:
        box.app.stop()
        box.app.start()
        tab.page.wait_for_url("**/login?next=%2Fslots")
        expect(tab.page.locator("#key")).to_be_focused()
    finally:
        key.write_text(ADMIN_KEY)
        box.app.stop()
        box.app.start()
