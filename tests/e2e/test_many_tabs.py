"""One browser with many tabs, and cards that stay where they are under somebody's hands."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.support.waiting import eventually

OpenTab = Callable[..., Tab]
TABS = 7  # one more than the connections that a browser opens to one host


def test_seven_tabs_of_one_browser_are_live_as_they_are_seen_and_take_a_click(box: Box, open_tab: OpenTab) -> None:
    first = open_tab(box.url)
    tabs = [first, *(Tab(first.context.new_page(), box.url, first.context) for _ in range(TABS - 1))]
    for tab in tabs:
        tab.open()
        tab.hide(True)
    for number, tab in enumerate((tabs[0], tabs[-1])):
        tab.page.bring_to_front()  # one behind another has its timers slowed down
        tab.hide(False)
        act, word = ("load", "Ready") if number % 2 == 0 else ("unload", "Unloaded")
        tab.press("embed", act)  # there only when the page knows of what the tab before did
        tab.card("embed", word)
        tab.link("live")
        assert not tab.reloaded
        tab.hide(True)


def test_cards_change_their_order_only_when_the_focus_has_left_them(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open()

    def order() -> list[str]:
        found: list[str] = tab.page.evaluate("[...document.querySelectorAll('#slot-grid > .card')].map(one => one.id)")
        return found

    before = order()
    tab.page.focus("#slot-second-load")
    box.app.post("/api/slots/primary/load?wait=true").raise_for_status()
    tab.card("primary", "Ready")
    tab.page.wait_for_function("document.querySelector('#slot-primary .word').textContent === 'Ready'")
    assert order() == before
    assert tab.page.evaluate("document.activeElement.id") == "slot-second-load"
    tab.page.focus("#pause")
    eventually(lambda: order() != before, "the cards are in order again")
    assert order().index("slot-primary") < order().index("slot-embed")
    assert sorted(order()) == sorted(before)
    expect(tab.page.locator("#slot-grid > .card").first).to_have_attribute("data-tone", "bad")
