"""The slot page in a real browser, over a real hal0 and the embedded engine: true, live, usable without a script."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Route, expect

from tests.e2e.box import Box
from tests.e2e.browser import GONE, Tab
from tests.e2e.places import all_places
from tests.support import processes
from tests.support.waiting import eventually

EVICTED = "model evicted from lemond (auto-reloads on next request)"
MAKING_ROOM = "evicted to make room for tiny-b (auto-reloads on next request)"
LOST = re.compile(r"^\? Out of touch · Slots · hal0 \(as of \d\d:\d\d:\d\d\)$")
OpenTab = Callable[..., Tab]


@pytest.fixture
def tab(box: Box, open_tab: OpenTab) -> Tab:
    """The slot page, live."""
    return open_tab(box.url).open()


# -- the card tells the truth


def test_a_card_follows_its_slot_through_load_displacement_and_eviction(tab: Tab, box: Box) -> None:
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    expect(tab.page.locator("#slot-primary .model")).to_have_text("tiny-a")
    tab.press("second", "load")
    tab.card("second", "Ready")
    tab.card("primary", "Evicted", MAKING_ROOM)
    box.evict("tiny-b")
    tab.card("second", "Evicted", EVICTED)
    tab.press("second", "load")
    tab.card("second", "Ready")
    tab.press("second", "unload")
    tab.card("second", "Unloaded", "unloaded by you")
    assert not tab.reloaded
    assert tab.violations == []


def test_a_load_by_a_request_shows_without_a_reload(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok
    tab.card("primary", "Ready")
    expect(tab.page.locator("#summary")).to_contain_text("1 of 7 slots ready")
    expect(tab.page.locator("#latest")).to_contain_text("primary is ready")
    assert not tab.reloaded


def test_a_failed_load_is_told_on_the_card_in_the_title_and_as_an_alert(tab: Tab) -> None:
    tab.press("bad", "load")
    expect(tab.page.locator("#alerts")).to_contain_text("bad: 'unloadable' could not be loaded")
    tab.card("bad", "Failed")
    expect(tab.page.locator("#slot-bad-load")).to_contain_text("Try again")
    expect(tab.page).to_have_title("! 2 failed · Slots · hal0")
    tab.page.click("#alerts .close")
    expect(tab.page.locator("#alerts .toast")).to_have_count(0)


def test_a_load_that_is_refused_says_why(tab: Tab) -> None:
    tab.press("ghost", "load")
    expect(tab.page.locator("#alerts")).to_contain_text("Lemonade does not know a model 'nowhere'")


def test_what_was_begun_is_said_at_once(tab: Tab) -> None:
    tab.press("embed", "load")
    expect(tab.page.locator("#toasts")).to_contain_text("Loading embed.")
    tab.card("embed", "Ready")


def test_a_slot_with_an_invalid_file_shows_the_problem_and_one_that_is_off_says_so(tab: Tab) -> None:
    tab.card("odd", "Invalid")
    expect(tab.page.locator("#slot-odd .sentence")).to_contain_text("unknown key 'colour'")
    tab.card("off", "Off", "turned off; requests are refused")
    expect(tab.page.locator("#slot-odd-load, #slot-off-load")).to_have_count(0)


def test_the_trial_engine_is_not_passed_off_as_lemonade(tab: Tab) -> None:
    expect(tab.page.locator("#trial")).to_contain_text("embedded engine stands in for Lemonade")


def test_a_slot_file_that_appears_becomes_a_card(tab: Tab, box: Box) -> None:
    file = box.app.home / "etc" / "slots" / "extra.toml"
    file.write_text("type = 'llm'\n")
    tab.card("extra", "Empty", "no model is set")
    file.unlink()
    expect(tab.page.locator("#slot-extra")).to_have_count(0)
    assert not tab.reloaded


def test_a_lemonade_that_is_gone_leaves_no_green_mark(tab: Tab, box: Box) -> None:
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    box.engine.kill9()
    tab.card("primary", "Unknown")
    expect(tab.page.locator("#lemonade")).to_contain_text("Lemonade is not answering")
    expect(tab.page.locator("#slot-primary .sentence")).to_contain_text("was ready. No word from Lemonade since")
    expect(tab.page.locator("#slot-primary-unload")).to_have_attribute("aria-disabled", "true")
    box.app.link_is("down")
    box.engine.start()
    tab.card("primary", "Unloaded", "lemond restarted (reloads on next request)")
    expect(tab.page.locator("#lemonade")).to_contain_text("Nothing is loaded yet")
    tab.press("primary", "load")
    expect(tab.page.locator("#lemonade")).to_be_empty()


# -- the page stays live, and says when it is not


def test_every_load_of_the_page_gets_a_live_stream(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url)
    for _ in range(10):
        tab.open()


def test_a_page_without_a_place_polls_and_takes_one_when_there_is(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url)
    with all_places(box):
        tab.page.goto(f"{box.url}/slots")
        tab.link("polling")
        expect(tab.page.locator("#link")).to_have_text("Live view is full. Refreshing every 5 s.")
        assert box.app.chat("primary").ok
        tab.page.evaluate("document.body.dispatchEvent(new Event('wake'))")  # as the answer to a button does
        tab.card("primary", "Ready")
        tab.link("polling")
    tab.link("live")


def test_a_hidden_tab_gives_its_place_back_and_takes_one_when_it_is_seen_again(tab: Tab, box: Box) -> None:
    tab.hide(True)
    with all_places(box):
        pass
    tab.hide(False)
    assert box.app.chat("primary").ok
    tab.card("primary", "Ready")
    tab.link("live")


def test_live_updates_can_be_paused_by_a_reader(tab: Tab, box: Box) -> None:
    tab.page.click("#pause")
    tab.link("paused")
    assert box.app.chat("primary").ok
    box.app.slot_is("primary", "ready")
    with all_places(box):  # its own is free
        pass
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.evaluate("document.body.dispatchEvent(new Event('wake'))")  # asks, as time does
    assert asked == []
    expect(tab.page.locator("#slot-primary .word")).not_to_have_text("Ready")
    tab.link("paused")
    tab.page.click("#pause")
    tab.card("primary", "Ready")
    tab.link("live")


def test_a_first_connection_that_is_refused_is_tried_again(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=("503",))
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=503, body="no")

    tab.page.route("**/events*", refuse_once)
    tab.page.goto(f"{box.url}/slots")
    tab.link("live")
    assert refused


def test_a_server_that_froze_makes_the_page_stale_until_it_thaws(tab: Tab, box: Box) -> None:
    assert box.app.process is not None
    frozen = [box.app.process.pid, *processes.children(box.app.process.pid)]
    for pid in frozen:
        processes.stop(pid)
    try:
        tab.link("stale")
        expect(tab.page.locator("#link")).to_contain_text("No update for a while. Values below may be out of date.")
        expect(tab.page.locator("html")).to_have_attribute("data-stale", "")
        expect(tab.page).to_have_title(LOST)
        expect(tab.page.locator("#icon")).to_have_attribute("href", re.compile("^data:"))
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    tab.link("live")
    expect(tab.page).to_have_title("! 1 failed · Slots · hal0")
    expect(tab.page.locator("#icon")).to_have_attribute("href", re.compile("/icon-alert"))
    assert not tab.reloaded


def test_the_title_of_a_page_that_hears_nothing_tells_as_of_when_it_is(tab: Tab) -> None:
    now, then = "! 1 failed · Slots · hal0", re.compile(r"^! 1 failed · Slots · hal0 \(as of \d\d:\d\d:\d\d\)$")
    expect(tab.page).to_have_title(now)
    for quiet, heard in ((lambda: tab.hide(True), lambda: tab.hide(False)), (lambda: tab.page.click("#pause"),) * 2):
        quiet()
        expect(tab.page).to_have_title(then)
        heard()
        expect(tab.page).to_have_title(now)


def test_a_page_comes_back_after_hal0_was_restarted(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=GONE).open()
    box.app.stop()
    tab.link("reconnecting")
    box.app.start()
    tab.link("live")
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    assert not tab.reloaded


# -- people who use the keyboard, a screen reader or no script


def test_focus_stays_while_other_cards_change(tab: Tab, box: Box) -> None:
    tab.page.focus("#slot-second-load")
    assert box.app.chat("primary").ok
    tab.card("primary", "Ready")
    assert tab.page.evaluate("document.activeElement.id") == "slot-second-load"


def test_focus_stays_in_the_card_whose_button_is_replaced(tab: Tab) -> None:
    tab.page.focus("#slot-primary-load")
    tab.page.keyboard.press("Enter")
    tab.card("primary", "Ready")
    assert tab.page.evaluate("document.activeElement.closest('.card')?.id") == "slot-primary"


def test_nothing_stands_in_anyones_way(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok  # not by its button: what that begins is said over the page for a while
    tab.card("primary", "Ready")
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320)):
        tab.page.emulate_media(color_scheme=scheme)
        tab.page.set_viewport_size({"width": width, "height": 800})
        assert tab.axe() == [], (scheme, width)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == width


def test_load_and_unload_work_without_a_script(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/slots")
    expect(tab.page.locator(".noscript")).to_contain_text("Without JavaScript")
    tab.press("primary", "load")
    box.app.slot_is("primary", "ready")
    tab.page.click(".noscript a")
    tab.card("primary", "Ready")
    tab.press("primary", "unload")
    box.app.slot_is("primary", "offline", "operator")
    tab.page.click(".noscript a")
    tab.card("primary", "Unloaded")


def test_without_a_script_a_refusal_is_a_page_that_says_why(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=("404",), java_script_enabled=False)
    tab.page.goto(f"{box.url}/slots")
    tab.press("ghost", "load")
    expect(tab.page.get_by_role("alert").first).to_contain_text("Lemonade does not know a model 'nowhere'")


# -- who may change something


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_form_that_is_not_from_our_pages_is_refused(box: Box, headers: dict[str, str]) -> None:
    answer = requests.post(f"{box.url}/slots/primary/load", headers=headers, timeout=30, allow_redirects=False)
    assert answer.status_code == 403
    assert box.app.slot("primary")["state"] == "offline"


def test_a_form_from_our_own_page_is_accepted(box: Box) -> None:
    headers = {"Origin": box.url}
    answer = requests.post(f"{box.url}/slots/embed/load", headers=headers, timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/slots")


# -- the parts that are sent


def test_scripts_and_styles_are_kept_for_ever_and_pages_are_not(box: Box) -> None:
    page = requests.get(box.url, timeout=30)
    assert page.headers["Cache-Control"] == "no-store"
    script = page.text.partition('<script src="')[2].partition('"')[0]
    answer = requests.get(box.url + script, timeout=30)
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    assert requests.get(f"{box.url}/static/ui.00000000.js", timeout=30).status_code == 404


def test_a_page_that_no_stream_reaches_may_ask_for_all_of_it_again_and_again(box: Box) -> None:
    answer = requests.get(f"{box.url}/events?view=slots&poll=1", timeout=30)
    assert answer.headers["Content-Type"].partition(";")[0] == "text/html"
    boot = requests.get(f"{box.url}/slots", timeout=30).text.partition('data-boot="')[2].partition('"')[0]
    told = json.loads(answer.headers["HX-Trigger"])["kept-back"]
    assert (told["boot"], told["t"] > 0) == (boot, True)
    assert 'hx-target="#slot-grid"' in answer.text


def test_an_unknown_view_has_no_stream(box: Box) -> None:
    assert requests.get(f"{box.url}/events?view=nonsense", timeout=30).status_code == 400


# -- the detectors detect


def test_a_planted_inline_script_or_style_is_noticed(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=("Content Security Policy",)).open()
    tab.page.evaluate("document.body.setAttribute('style', 'color: red')")
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.__ran = 1'}))"
    )
    eventually(lambda: len(tab.violations) == 2, "both are noticed")
    assert sorted(tab.violations) == ["script-src-elem", "style-src-attr"]
    assert tab.page.evaluate("window.__ran") is None


BARRIERS = {
    "image-alt": "<img src='data:,'>",
    "button-name": "<button></button>",
    "label": "<input>",
    "color-contrast": "<p class='quiet faint'>hard to read</p>",
    "aria-allowed-attr": "<p role='heading' aria-level='2' aria-checked='true'>odd</p>",
}


def test_planted_barriers_are_noticed(tab: Tab) -> None:
    tab.page.evaluate(
        """markup => { const box = document.createElement('section'); box.setAttribute('aria-label', 'planted');
        box.append(document.createRange().createContextualFragment(markup)); document.querySelector('main').append(box);
        const sheet = new CSSStyleSheet(); sheet.replaceSync('.faint { color: #ccc; background: #fff; }');
        document.adoptedStyleSheets = [sheet]; }""",
        "".join(BARRIERS.values()),
    )
    assert {line.partition(":")[0] for line in tab.axe()} == set(BARRIERS)
