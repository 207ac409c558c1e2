"""The whole of it without a mouse: every stop of the tabulator is seen and marked, and the main flows need no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES

OpenTab = Callable[..., Tab]
MOST_STOPS = 150
# What has the focus, and what is wrong with it: out of sight, under something else, or without a mark.
STOP = """() => { const one = document.activeElement;
    if (one === document.body || one === null) return null;
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
    const there = document.elementFromPoint(box.left + Math.min(box.width, innerWidth) / 2, (top + bottom) / 2);
    const wrong = bottom <= top ? 'out of sight'
        : !one.contains(there) && !there?.contains(one) ? `under ${there?.outerHTML.slice(0, 80)}`
        : style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2 ? 'without a mark' : '';
    return [one.outerHTML.slice(0, 120), wrong]; }"""


def stops(page: Page) -> list[tuple[str, str]]:
    """Every stop from the first to the last, and what is wrong with it."""
    found: list[tuple[str, str]] = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None or (found and stop[0] == found[0][0]):
            return found
        found.append((stop[0], stop[1]))
    raise AssertionError(f"more than {MOST_STOPS} stops, or a trap: {found[-5:]}")


@pytest.mark.parametrize("width", [1280, 320])
def test_every_stop_is_in_sight_and_marked(box: Box, open_tab: OpenTab, width: int) -> None:
    assert box.app.chat("primary").ok
    tab = open_tab(box.url, viewport={"width": width, "height": 560})
    for path in (*PAGES, "/slots/new"):
        tab.open(path)
        found = stops(tab.page)
        assert "Skip to the content" in found[0][0] or path not in PAGES, path
        assert [stop for stop in found if stop[1]] == [], path


def test_planted_faults_are_noticed(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/journal/hal0")
    tab.page.evaluate(
        """() => { const sheet = new CSSStyleSheet(); sheet.replaceSync(`#bare:focus-visible { outline: none; }
            #beneath, #cover { position: fixed; left: 0; bottom: 0; width: 5rem; height: 3rem; }
            #cover { z-index: 9; }`);
        document.adoptedStyleSheets = [sheet];
        for (const [tag, id] of [['button', 'bare'], ['button', 'beneath'], ['p', 'cover']]) {
            const one = Object.assign(document.createElement(tag), { id, textContent: id });
            document.querySelector('main').append(one);
        } }"""
    )
    assert [wrong.partition(" ")[0] for _, wrong in stops(tab.page) if wrong] == ["without", "under"]


def reach(page: Page, selector: str) -> None:
    """Press Tab until it has the focus."""
    wanted = page.locator(selector)
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def press(page: Page, selector: str, key: str = "Enter") -> None:
    reach(page, selector)
    page.keyboard.press(key)


def test_a_slot_is_made_loaded_swapped_and_deleted_by_keys_alone(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/")
    page = tab.page
    press(page, "nav[aria-label=Pages] a:text-is('Slots')")
    page.wait_for_url("**/slots")
    press(page, "a:text-is('New slot')")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("by-keys")
    reach(page, "#model")
    page.keyboard.type("tiny-c")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_have_text("Slot by-keys was created.")
    press(page, "#slot-by-keys-load")
    tab.card("by-keys", "Ready")
    assert page.evaluate("document.activeElement.closest('.card')?.id") == "slot-by-keys"
    press(page, "#slot-by-keys-swap")
    expect(page.locator("#swap-model")).to_be_focused()
    page.keyboard.type("tiny-a")
    press(page, "#cost button.main")
    expect(page.locator(".said")).to_contain_text("Swapping the model of by-keys")
    box.app.wait_for(lambda: box.app.slot("by-keys")["model"] == "tiny-a", "it has the new model")
    tab.card("by-keys", "Ready")
    press(page, "#slot-by-keys-more > summary")
    press(page, "#slot-by-keys-delete")
    expect(page.locator("#dialog [data-keep]")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text("Slot by-keys was deleted")


def test_a_model_is_found_a_chat_held_and_a_log_read_by_keys_alone(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/models")
    page = tab.page
    reach(page, "#q")
    page.keyboard.type("tiny-b")
    expect(page.locator("tr[data-model]")).to_have_count(1)
    press(page, "tr[data-model='tiny-b'] button")
    expect(page.locator("tr[data-model='tiny-b']")).to_contain_text("Loaded")
    page.keyboard.press("Control+Home")
    tab.open("/chat?slot=second")
    press(page, "#chat-more > summary")
    reach(page, "#max_tokens")
    page.keyboard.press("Control+A")
    page.keyboard.type("100000")
    reach(page, "#prompt")
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    reach(page, "#chat-stop")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble.assistant .problem, .answer-facts").first).to_be_visible()
    expect(page.locator("#prompt")).to_be_focused()
    tab.open("/journal")
    reach(page, "#log-box")
    page.keyboard.press("Home")
    page.keyboard.press("End")
    reach(page, "#latest > summary")
    page.keyboard.press("Space")
    expect(page.locator("#latest li").first).to_be_visible()
