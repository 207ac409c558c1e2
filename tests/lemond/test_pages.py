"""The pages over the daemon itself: cards, the picture of evictions, models and chat tell what the real lemond did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.browser import WATCH, Tab, chromium
from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine

SLOTS = {"primary": {"type": "llm", "model": "chat-a"}, "second": {"type": "llm", "model": "chat-b"}}


@pytest.fixture(scope="module")
def place(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[tuple[App, Engine]]:
    """hal0 over a lemond with room for one chat model."""
    files = {"chat-a": models.chat(), "chat-b": models.chat()}
    with start_engine(max_loaded_models=1, models=files, user_models={}) as engine, hal0(engine.url, SLOTS) as app:
        yield app, engine


@pytest.fixture
def tab(place: tuple[App, Engine]) -> Iterator[Tab]:
    """A page of its own, silent to the end."""
    with chromium() as browser:
        context = browser.new_context()
        context.add_init_script(WATCH)
        tab = Tab(context.new_page(), place[0].url, context)
        tab.listen()
        yield tab
        assert tab.complaints == []
        assert tab.violations == []


def test_cards_and_the_picture_follow_what_lemond_did(tab: Tab, place: tuple[App, Engine]) -> None:
    tab.open("/slots")
    tab.press("primary", "load")
    tab.card("primary", "Ready")
    tab.press("second", "load")
    tab.card("second", "Ready")
    tab.card("primary", "Evicted", "evicted to make room for chat-b (auto-reloads on next request)")
    requests.post(f"{place[1].url}/v1/unload", json={"model_name": "chat-b"}, timeout=60).raise_for_status()
    tab.card("second", "Evicted", "model evicted from lemond (auto-reloads on next request)")
    expect(tab.page.locator("#residency tbody tr")).to_have_count(2)
    assert not tab.reloaded


def test_a_chat_loads_its_slot_and_answers(tab: Tab) -> None:
    tab.open("/chat?slot=primary")
    tab.page.click("#chat-more > summary")
    tab.page.fill("#max_tokens", "10")
    tab.page.fill("#prompt", "hello")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".answer-facts")).to_contain_text("model chat-a")
    expect(tab.page.locator(".answer-facts")).to_contain_text("10 tokens")


def test_its_models_backends_and_refused_pull_are_shown(tab: Tab) -> None:
    tab.open("/models")
    expect(tab.page.locator("tr[data-model='chat-a']")).to_be_visible()
    expect(tab.page.locator("#backends tbody tr").first).to_be_visible()
