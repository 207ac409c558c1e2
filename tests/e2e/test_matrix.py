"""Every page in every state, light and dark, wide and narrow: no barrier, no overflow, no complaint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES, STATES
from tests.e2e.words import WORDS, says

# Colours, width, and whether every rule is held to it or those that the look alone can break.
LOOKS = (("light", 1280, False), ("dark", 1280, True), ("dark", 320, False), ("light", 320, True))
EVERYWHERE = {"normal", "empty", "loading", "failed", "busy", "down", "evicted", "drift", "paused"}
ASKING = (
    "/slots/new", "/slots/second/edit", "/slots/second/swap?model=tiny-b", "/slots/second/delete", "/slots/bad/details",
    "/slots/nobody/edit", "/models/delete?model=tiny-a", "/settings/restart", "/login",
)  # fmt: skip
SIDEWAYS = "document.documentElement.scrollWidth"


def concerned(name: str) -> list[str]:
    """The pages to look at in a state: all, or those that look different in it or have words for it."""
    words = WORDS.get(name, {})
    own = STATES[name].pages
    every = name in EVERYWHERE or "*" in words
    return [path for path in dict.fromkeys((*PAGES, *own)) if every or path in own or path in words]


def right_in_every_look(tab: Tab, path: str) -> None:
    for scheme, width, looks_only in LOOKS:
        tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        tab.page.set_viewport_size({"width": width, "height": 800})
        assert tab.axe(looks_only) == [], (path, scheme, width)
        assert tab.page.evaluate(SIDEWAYS) == width, (path, width)
    assert tab.violations == []


@pytest.mark.parametrize("name", STATES)
def test_every_page_is_right_in_every_state(name: str, box: Box, open_tab: Callable[..., Tab]) -> None:
    """Each is held to the words of the state, to axe, to its width and to the policy."""
    state = STATES[name]
    with state.enter(box) as url:
        tab = open_tab(url, extra_http_headers=state.headers)
        for path in concerned(name):
            tab.page.set_viewport_size({"width": 1280, "height": 800})
            tab.open(path)
            says(tab.page, path, name)
            right_in_every_look(tab, path)


def test_every_page_that_asks_something_is_right_too(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url, allowed=("404",))
    for path in ASKING:
        tab.open(path)
        right_in_every_look(tab, path)


def test_the_catalogue_of_words_is_of_states_and_pages_that_there_are() -> None:
    assert set(WORDS) <= set(STATES)
    assert {path for pages in WORDS.values() for path in pages} <= {*PAGES, "*"}


def test_nothing_moves_for_who_wants_less_motion(box: Box, open_tab: Callable[..., Tab]) -> None:
    with STATES["loading"].enter(box) as url:
        tab = open_tab(url, reduced_motion="reduce").open("/slots")
        tab.card("second", "Loading")
        assert tab.page.evaluate("document.getAnimations().length") == 0
        tab.page.emulate_media(reduced_motion="no-preference")
        assert tab.page.evaluate("document.getAnimations().length") > 0


def test_forced_colours_leave_every_mark_and_button_to_be_seen(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url, forced_colors="active").open("/slots")
    expect(tab.page.locator("#slot-primary-load")).to_be_visible()
    assert tab.axe() == []


def test_the_first_tab_stop_leads_to_the_content(box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url).open("/")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "main"
