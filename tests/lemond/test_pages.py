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
def open_page() -> Iterator[Callable[[str], Tab]]:
    """Opens a page of its own, silent to the end."""
    with chromium() as browser:
        tabs: list[Tab] = []

        def begin(url: str) -> Tab:
            context = browser.new_context()
            context.add_init_script(WATCH)
            tabs.append(Tab(context.new_page(), url, context))
            tabs[-1].listen()
            return tabs[-1]

        yield begin
        assert [tab.complaints for tab in tabs] == [[] for _ in tabs]


@pytest.fixture
def tab(place: tuple[App, Engine], open_page: Callable[[str], Tab]) -> Tab:
    """A page of hal0 over the lemond of this file."""
    return open_page(place[0].url)


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


def test_a_lemond_without_models_suggests_what_fits(
    start_engine: Callable[..., AbstractContextManager[Engine]], open_page: Callable[[str], Tab]
) -> None:
    with start_engine(1, models={}, user_models={}) as engine, hal0(engine.url, {}) as app:
        app.wait_for(lambda: "Suggestions that fit" in app.get("/models").text, "what it offers has been read")
        tab = open_page(app.url).open("/models")
        expect(tab.page.locator(".suggestions li")).to_have_count(5)
        expect(tab.page.locator("tr[data-model]").first).to_contain_text("Available")
        assert tab.axe() == []
        tab.context.close()


def test_an_answer_of_the_real_one_can_be_stopped_and_is_on_record(tab: Tab, place: tuple[App, Engine]) -> None:
    app = place[0]
    tab.open("/chat?slot=primary")
    tab.page.click("#chat-more > summary")
    tab.page.fill("#max_tokens", "100000")
    tab.page.fill("#prompt", "hello")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".bubble.assistant[data-state=answering]")).to_be_visible()
    tab.page.click("#chat-stop")
    expect(tab.page.locator(".bubble.assistant .hint")).to_contain_text("Stopped by you after")
    app.wait_for(lambda: app.slot("primary")["in_flight"] == 0, "the request has ended")

    def on_record() -> bool:
        newest = app.get("/api/requests").json()[0]
        return (newest["slot"], newest["agent"], newest["outcome"]) == ("primary", "dashboard", "client_gone")

    app.wait_for(on_record, "it is on record")


def test_a_slot_is_made_swapped_and_deleted_on_the_pages(tab: Tab, place: tuple[App, Engine]) -> None:
    tab.open("/slots/new")
    tab.page.fill("#name", "third")
    tab.page.select_option("#type", "llm")
    tab.page.fill("#model", "chat-a")
    tab.page.click("text=Create slot")
    expect(tab.page.locator(".said")).to_have_text("Slot third was created.")
    tab.link("live")
    place[0].post("/api/slots/third/load?wait=true").raise_for_status()
    tab.card("third", "Ready")
    tab.press("third", "swap")
    tab.page.select_option("#swap-model", "chat-b")
    tab.page.click("#cost button")
    expect(tab.page.locator("#slot-third .model")).to_contain_text("chat-b")
    tab.card("third", "Ready")
    tab.page.goto(f"{place[0].url}/slots/third/delete")
    tab.page.click("button.danger")
    expect(tab.page.locator(".said")).to_have_text("Slot third was deleted; its model stays on disk.")
