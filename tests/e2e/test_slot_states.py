"""States of a slot that pass, or that a person decides about: their words, and that their buttons do what they say."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import STATES, quarantine

OpenTab = Callable[..., Tab]


def test_a_load_that_waits_for_another_says_so_and_can_be_cancelled(box: Box, open_tab: OpenTab) -> None:
    before = box.app.slot("primary")
    with STATES["waiting"].enter(box) as url:
        tab = open_tab(url).open()
        tab.card("primary", "Waiting", "waiting for Lemonade to finish loading tiny-b")
        expect(tab.page.locator("#slot-second .sentence")).to_have_text(re.compile(r"^loading tiny-b for \d+:\d\d"))
        tab.press("primary", "cancel")
        expect(tab.page.locator("#toasts")).to_contain_text("What primary waited for is cancelled.")
        words = {"operator": "Unloaded", "displaced": "Evicted", "evicted": "Evicted"}
        tab.card("primary", words.get(before["reason"], "Not loaded"))
        expect(tab.page.locator("#alerts .toast")).to_have_count(0)
    tab.card("second", "Ready")
    assert box.app.slot("primary")["loads"] == before["loads"]


def test_a_model_that_is_kept_out_for_a_while_says_until_when_and_can_be_tried(box: Box, open_tab: OpenTab) -> None:
    with STATES["kept-out"].enter(box) as url:
        tab = open_tab(url).open()
        tab.card("embed", "Paused")
        sentence = tab.page.locator("#slot-embed .sentence")
        expect(sentence).to_have_text(re.compile(r"^1 load failed\. Next try in [01]:\d\d$"))
        told = sentence.inner_text()
        expect(sentence).not_to_have_text(told)  # it counts
        tab.press("embed", "details")
        expect(tab.page.locator("#dialog")).to_contain_text("1 time in a row")
        expect(tab.page.locator("#dialog")).to_contain_text("by the next request")
        assert tab.axe() == []
        tab.page.keyboard.press("Escape")
        tab.press("embed", "load")
        tab.card("embed", "Ready")
        assert quarantine(box, "embed-a") is None


def test_a_slot_that_runs_with_other_options_is_reloaded_or_keeps_them(box: Box, open_tab: OpenTab) -> None:
    with STATES["drift"].enter(box) as url:
        tab = open_tab(url).open()
        tab.card("second", "Drift")
        expect(tab.page.locator("#slot-second .sentence")).to_contain_text("this slot asks for a context of 256 tokens")
        box.app.patch("second", {"llamacpp_args": "--threads 2", "max_in_flight": 2})
        expect(tab.page.locator("#slot-second .sentence")).to_contain_text(
            "the options --threads 2, 2 requests at once"
        )
        tab.press("second", "restart")
        tab.card("second", "Ready")
        box.app.patch("second", {"max_in_flight": 1})
        tab.card("second", "Drift")
        tab.press("second", "keep")
        tab.card("second", "Ready")
        assert "max_in_flight = 2" in (box.app.home / "etc" / "slots" / "second.toml").read_text()


def test_the_details_of_a_failure_are_told_in_full(box: Box, open_tab: OpenTab) -> None:
    with STATES["failed"].enter(box) as url:
        tab = open_tab(url, java_script_enabled=False)
        tab.page.goto(f"{url}/slots")
        tab.press("bad", "details")
        expect(tab.page.locator(".ask")).to_contain_text("model.load_failed")
        expect(tab.page.locator(".ask .sentence")).to_contain_text("loading unloadable failed")
        expect(tab.page.locator(".ask button")).to_have_text("Try it now")
