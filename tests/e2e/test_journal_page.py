"""The journal in a browser: live, filtered by its address, never dragging a reader to the end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import expect

from hal0app.adapters.store import Store
from hal0app.core.journal import Entry
from hal0app.core.settings import Retention
from tests.e2e.box import Box
from tests.e2e.browser import Tab

OpenTab = Callable[..., Tab]


def act(box: Box, times: int = 1) -> None:
    """Make the journal grow by two lines each time."""
    for number in range(times):
        box.app.post(f"/api/slots/primary/{'pin' if number % 2 else 'unpin'}").raise_for_status()


def fill(box: Box, lines: int, apart_s: float = 0.0, ago_s: float = 0.0) -> None:
    """Write so many lines at once, as another process does, that tell of so many moments before `ago_s`."""
    store = Store(box.app.home / "var" / "hal0.db", Retention())
    ages = [ago_s + apart_s * (lines - number) for number in range(lines)]
    store.write_journal([Entry(time.time() - age, "system.test", f"line {number}") for number, age in enumerate(ages)])
    store.close()


def test_a_new_line_appears_at_the_end_without_a_reload(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/journal")
    assert box.app.chat("primary").ok
    expect(tab.page.locator("#log li", has_text="primary is ready").last).to_be_in_viewport()
    ids = tab.page.evaluate("[...document.querySelectorAll('#log li')].map(line => line.id)")
    assert len(ids) == len(set(ids))
    assert not tab.reloaded
    assert tab.axe() == []


def test_filters_are_in_the_address_and_hold_for_what_comes(box: Box, open_tab: OpenTab) -> None:
    box.app.post("/api/slots/embed/load?wait=true").raise_for_status()
    tab = open_tab(box.url).open("/journal")
    tab.page.select_option("#slot", "embed")
    tab.page.click("button:text-is('Filter')")
    assert "slot=embed" in tab.page.url
    tab.link("live")
    act(box)
    box.app.post("/api/slots/embed/unload?wait=true").raise_for_status()
    expect(tab.page.locator("#log li", has_text="embed is offline").last).to_be_visible()
    assert set(tab.page.evaluate("[...document.querySelectorAll('#log li')].map(line => line.dataset.slot)")) == {
        "embed"
    }
    tab.page.goto(f"{box.url}/journal?q=nothing+says+this")
    expect(tab.page.locator("#log-empty")).to_contain_text("No line matches.")
    tab.page.click("#log-empty a")
    expect(tab.page.locator("#log li").first).to_be_visible()


def test_a_reader_who_scrolled_up_is_left_in_peace(box: Box, open_tab: OpenTab) -> None:
    fill(box, 100)
    tab = open_tab(box.url).open("/journal")
    tab.page.evaluate("document.getElementById('log-box').scrollTop = 0")
    expect(tab.page.locator("#log-follow")).not_to_be_checked()  # a browser tells of a scroll when it draws next
    expect(tab.page.locator("#log-end")).to_be_hidden()
    act(box, 3)
    expect(tab.page.locator("#log-end")).to_contain_text("new lines. Jump to end")
    assert tab.page.evaluate("document.getElementById('log-box').scrollTop") == 0
    expect(tab.page.locator("#log-follow")).not_to_be_checked()
    tab.page.click("#log-end")
    expect(tab.page.locator("#log-end")).to_be_hidden()
    expect(tab.page.locator("#log-follow")).to_be_checked()
    act(box, 1)
    expect(tab.page.locator("#log li").last).to_be_in_viewport()
    tab.page.uncheck("#log-follow")
    act(box, 1)
    expect(tab.page.locator("#log-end")).to_contain_text("new line")
    tab.page.check("#log-follow")
    expect(tab.page.locator("#log-end")).to_be_hidden()


def test_the_page_keeps_at_most_a_thousand_lines(box: Box, open_tab: OpenTab) -> None:
    act(box)
    tab = open_tab(box.url).open("/journal")
    tab.page.evaluate(
        """for (let number = 0; number < 1100; number += 1) {
            const line = document.querySelector('#log li').cloneNode(true);
            line.id = `e${900000 + number}`;
            document.getElementById('log').append(line);
        }"""
    )
    expect(tab.page.locator("#log li")).to_have_count(1000)


def test_the_footer_tells_how_much_is_new_until_it_is_opened(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/slots")
    act(box, 2)
    expect(tab.page.locator("#unread")).to_have_text("2 new")
    tab.page.click("#latest > summary")
    expect(tab.page.locator("#unread")).to_be_empty()
    expect(tab.page.locator("#latest li")).to_have_count(8)
    act(box, 1)
    expect(tab.page.locator("#latest")).to_have_attribute("open", "")


def test_the_journal_reads_without_a_script_and_as_text(box: Box, open_tab: OpenTab) -> None:
    act(box)
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/journal?slot=primary")
    expect(tab.page.locator("#log li").last).to_contain_text("slot primary was changed")
    text = requests.get(f"{box.url}/journal.txt?slot=primary", timeout=30)
    assert text.headers["Content-Type"].startswith("text/plain")
    assert text.text.splitlines()[-1].endswith("slot primary was changed")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_earlier_lines_come_above_or_are_a_page_of_their_own(box: Box, open_tab: OpenTab, script: bool) -> None:
    fill(box, 600)
    tab = open_tab(box.url, java_script_enabled=script)
    tab.page.goto(f"{box.url}/journal")
    lines = tab.page.locator("#log > li")
    expect(lines).to_have_count(500)
    first = lines.first.get_attribute("id")
    tab.page.click("#log-earlier")
    if script:
        expect(lines.nth(500)).to_be_attached()
        expect(tab.page.locator(f"#{first}")).to_be_in_viewport()  # what was read has not moved away
        ids = [int(id_[1:]) for id_ in lines.evaluate_all("lines => lines.map(line => line.id)")]
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert tab.axe() == []
    else:
        expect(tab.page.locator(".said")).to_contain_text("Older lines.")
        expect(lines).not_to_have_count(0)
        tab.page.click(".said a")
        expect(lines).to_have_count(500)


def test_lines_that_did_not_come_are_told(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/journal")
    tab.link("live")
    tab.hide(True)
    fill(box, 300, apart_s=1.0, ago_s=3600)  # in seconds of their own: many lines of one second are thinned out
    tab.hide(False)
    expect(tab.page.locator("#log .gap")).to_have_text(
        "100 lines left out, while this page did not listen. Download full log"
    )
    tab.link("live")
    fill(box, 900)
    expect(tab.page.locator("#log-thin")).to_have_text("Showing 1 in 5 lines. Download full log")


def test_on_a_narrow_screen_a_kind_is_never_broken_in_two(box: Box, open_tab: OpenTab) -> None:
    store = Store(box.app.home / "var" / "hal0.db", Retention())
    store.write_journal([Entry(time.time(), "system.lemond_down", "as long as they get", "warning")])
    store.close()
    tab = open_tab(box.url, viewport={"width": 320, "height": 800}).open("/journal?kind=system.lemond_down")
    kind = tab.page.locator("#log li", has_text="as long as they get").last.locator(".kind")
    assert kind.evaluate("one => one.clientHeight / parseFloat(getComputedStyle(one).lineHeight)") < 1.5
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 320


def test_lemonades_own_log_is_beside_it_as_it_comes(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/journal")
    tab.page.click("text=Lemonade's own log")
    tab.link("live")
    assert box.app.chat("primary").ok
    expect(tab.page.locator("#log li", has_text="tiny-a").last).to_be_visible()
    tab.page.fill("#q", "nothing says this")
    tab.page.click("button:text-is('Filter')")
    expect(tab.page.locator("#log-empty")).to_contain_text("No line matches.")
    assert tab.axe() == []


def test_how_lines_look_is_remembered_and_hal0s_own_log_is_there(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/journal?since=1h")
    tab.page.uncheck("#log-wrap")
    tab.page.select_option("#log-size", "small")
    tab.page.click("text=hal0's own log")
    expect(tab.page.locator("#log-wrap")).not_to_be_checked()
    expect(tab.page.locator("#log-box")).to_have_attribute("data-size", "small")
    tab.page.set_viewport_size({"width": 320, "height": 800})
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 320
    assert tab.axe() == []
    for log in ("lemonade", "hal0"):
        text = requests.get(f"{box.url}/journal/{log}.txt", timeout=30)
        assert text.headers["Content-Type"].startswith("text/plain")
