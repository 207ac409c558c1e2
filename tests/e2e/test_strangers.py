"""Who may read and change hal0 from a browser: its own pages by a local name, and no other site."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab

OpenTab = Callable[..., Tab]


def under(box: Box, name: str) -> str:
    """hal0's address under another name."""
    return f"http://{name}:{urlsplit(box.url).port}"


def test_a_name_on_the_local_network_is_answered_and_its_buttons_work(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(under(box, "halo.local")).open("/slots")
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    assert tab.violations == []


def test_a_rebound_name_gets_nothing(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(under(box, "rebind.example"), allowed=("421", "Refused to apply style", "Refused to execute script"))
    answer = tab.page.goto(f"{tab.url}/slots")
    assert answer is not None
    assert answer.status == 421


def test_a_form_of_another_site_changes_nothing(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=("403",))
    form = f'<form method="post" action="{box.url}/slots/primary/load"><button>Win</button></form>'
    tab.page.route("http://evil.example/**", lambda route: route.fulfill(body=form, content_type="text/html"))
    tab.page.goto("http://evil.example/")
    tab.page.click("button")
    expect(tab.page.locator("body")).to_contain_text("a page of another site may not change anything here")
    assert box.app.slot("primary")["state"] == "offline"
