"""The overview in a browser: is it fine, where has the memory gone, what happened lately."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import GONE, Tab


def test_it_says_whether_it_is_fine_and_follows_what_happens(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url).open("/")
    expect(tab.page.locator("#memory")).to_contain_text("Free")
    assert box.app.chat("primary").ok
    expect(tab.page.locator("#summary")).to_contain_text("1 of 7 slots ready.")
    expect(tab.page.locator("#summary")).to_contain_text("GiB used.")
    expect(tab.page.locator("#memory .key")).to_contain_text("primary (tiny-a)")
    expect(tab.page.locator("#strip li", has_text="primary").locator(".word")).to_have_text("Ready")
    expect(tab.page.locator("#recent li").first).to_be_visible()
    expect(tab.page.locator("#hardware")).to_contain_text("CPU busy")
    expect(tab.page.locator("#throughput")).to_contain_text("First token, median")
    expect(tab.page.locator("#throughput .curve-name")).to_have_count(2)
    assert not tab.reloaded
    assert tab.axe() == []


def test_what_is_wrong_with_a_slot_is_told_in_full_on_every_width(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url).open("/")
    trouble = tab.page.locator("#strip li", has_text="odd").locator(".quiet")
    for width in (320, 768, 1280):
        tab.page.set_viewport_size({"width": width, "height": 800})
        assert trouble.evaluate("one => one.scrollWidth <= one.clientWidth"), width


def test_lemonade_being_gone_is_said_while_the_machine_goes_on(box: Box, open_tab: Callable[..., Tab]) -> None:
    assert box.app.chat("primary").ok
    tab = open_tab(box.url).open("/")
    expect(tab.page.locator("#memory .key")).to_contain_text("tiny-a")
    box.engine.kill9()
    expect(tab.page.locator("#memory")).to_contain_text("The models are as last seen.")
    expect(tab.page.locator("#memory .key")).to_contain_text("Models unknown")
    expect(tab.page.locator("#memory .bar .piece.unknown")).to_have_attribute("fill", "url(#hatch)")
    expect(tab.page.locator("#lemonade")).to_contain_text("Lemonade is not answering")
    box.engine.start()
    expect(tab.page.locator("#lemonade")).not_to_contain_text("not answering")


def test_no_mark_stays_green_on_a_page_that_is_out_of_touch(box: Box, open_tab: Callable[..., Tab]) -> None:
    assert box.app.chat("primary").ok
    tab = open_tab(box.url, allowed=GONE)
    for path in ("/", "/slots", "/chat"):
        tab.open(path)
        mark = tab.page.locator("[data-tone=good] .fill").first
        expect(mark).not_to_have_css("fill", "none")
        tab.page.route("**/events*", lambda route: route.abort())
        tab.page.evaluate("htmx.find('#live')._htmx.sse.reader.cancel()")
        tab.link("reconnecting")
        expect(mark).to_have_css("fill", "none")
        tab.page.unroute("**/events*")


def test_what_a_narrow_page_says_of_its_connection_moves_nothing_beside_it(
    box: Box, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab(box.url, allowed=GONE, viewport={"width": 320, "height": 640}).open("/")
    pause = tab.page.locator("#pause")
    before = pause.bounding_box()
    tab.page.route("**/events*", lambda route: route.abort())
    tab.page.evaluate("htmx.find('#live')._htmx.sse.reader.cancel()")
    tab.link("reconnecting")
    now = pause.bounding_box()
    assert now == pytest.approx(before, abs=1)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 320


def test_it_reads_without_a_script_and_the_api_tells_the_machine(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/")
    expect(tab.page.locator("#strip")).to_contain_text("primary")
    machine = requests.get(f"{box.url}/api/system", timeout=30).json()
    assert machine["memory"]["total"] > 0
