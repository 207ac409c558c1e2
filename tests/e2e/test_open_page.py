"""A page that stays open: behind another, with a clock of its own, while hal0 is updated, left and come back to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Route, expect

import hal0app
from tests.e2e.box import Box
from tests.e2e.browser import GONE, WATCH, Tab, launched
from tests.e2e.places import all_places
from tests.support.app import App
from tests.support.engines import free_port

OpenTab = Callable[..., Tab]
BEHIND = "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
# A browser whose clock is more than a day ahead.
WRONG = """{ const Right = Date, ahead = 27 * 3600 * 1000;
    globalThis.Date = class extends Right {
        constructor(...given) { if (given.length) super(...given); else super(Right.now() + ahead); }
        static now() { return Right.now() + ahead; } }; }"""
# One that goes on by as much as the test says.
LATER = """{ const Right = Date; window.__later = 0;
    globalThis.Date = class extends Right {
        constructor(...given) { if (given.length) super(...given); else super(Right.now() + window.__later); }
        static now() { return Right.now() + window.__later; } }; }"""
BEHIND_SAYS = re.compile(r"^Catching up\. Values below may be out of date\. \(as of \d\d:\d\d:\d\d\)$")
TODAY = re.compile(r"^\d\d:\d\d:\d\d$")
KOLKATA = timezone(timedelta(hours=5, minutes=30))
TIMES = """() => [[...document.querySelectorAll('time:not([data-count])')].map(one => [one.dateTime, one.textContent]),
    [...document.querySelectorAll('#residency title')].map(one => one.textContent)]"""


# -- behind another page it costs nothing


def test_a_page_that_is_opened_behind_another_takes_no_place_until_it_is_seen(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url)
    tab.context.add_init_script(BEHIND)
    tab.page.goto(f"{box.url}/slots")
    tab.link("behind")
    with all_places(box):
        pass
    tab.hide(False)
    tab.link("live")


class Held:
    """The requests for the stream, held back until the test lets them go."""

    def __init__(self, page: Page) -> None:
        self._page, self._routes = page, list[Route]()
        page.route("**/events*", lambda route: self._routes.append(route))

    def wait(self) -> None:
        """Until one has come."""
        while not self._routes:
            self._page.wait_for_timeout(20)

    def go(self) -> None:
        held, self._routes = self._routes[:], []
        for route in held:
            route.continue_()
        self._page.unroute("**/events*")


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_a_page_that_is_hidden_while_it_connects_keeps_no_place(box: Box, open_tab: OpenTab, again: bool) -> None:
    tab = open_tab(box.url, allowed=("timeout", "abort"))
    if again:
        tab.open()
        tab.hide(True)
    held = Held(tab.page)
    if again:
        tab.hide(False)
    else:
        tab.page.goto(f"{box.url}/slots")
    held.wait()
    tab.hide(True)
    with tab.page.expect_response("**/events*"):
        held.go()
    with all_places(box):
        pass
    tab.hide(False)
    tab.link("live")


@pytest.mark.parametrize("first", [False, True], ids=["seen before", "never seen"])
def test_a_page_that_is_seen_again_says_as_of_when_it_is_until_it_is_live(
    box: Box, open_tab: OpenTab, first: bool
) -> None:
    tab = open_tab(box.url, allowed=GONE)
    if first:
        tab.context.add_init_script(BEHIND)
        tab.page.goto(f"{box.url}/slots")
    else:
        tab.open()
        tab.hide(True)
    tab.link("behind")
    held = Held(tab.page)
    tab.hide(False)
    held.wait()
    expect(tab.page.locator("#link")).to_have_text(BEHIND_SAYS)
    expect(tab.page.locator("html")).to_have_attribute("data-stale", "")
    held.go()
    tab.link("live")
    expect(tab.page.locator("html")).not_to_have_attribute("data-stale", "")


# -- what somebody does there stays


def test_what_is_half_typed_and_what_is_open_stays_through_updates(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/chat")
    tab.page.click("#chat-more > summary")
    tab.page.fill("#prompt", "half a sen")
    for number in range(1, 6):
        box.app.post(f"/api/slots/embed/{'pin' if number % 2 else 'unpin'}").raise_for_status()
        expect(tab.page.locator("#unread")).to_have_text(f"{number} new")
    expect(tab.page.locator("#prompt")).to_have_value("half a sen")
    expect(tab.page.locator("#prompt")).to_be_focused()
    expect(tab.page.locator("#chat-more")).to_have_attribute("open", "")
    box.app.post("/api/slots/embed/unpin")


# -- its clock may be wrong


def test_times_are_right_whatever_the_browsers_clock_says(box: Box, open_tab: OpenTab) -> None:
    assert box.app.chat("primary").ok
    box.engine.put("slow", model="tiny-b")
    tab = open_tab(box.url)
    tab.context.add_init_script(WRONG)
    tab.open("/slots")
    expect(tab.page.locator("#slot-primary dl time").first).to_have_text(TODAY)
    expect(tab.page.locator("#latest summary time")).to_have_text(TODAY)
    tab.press("second", "load")
    expect(tab.page.locator("#slot-second .sentence time")).to_have_text(re.compile(r"^0:[0-5][1-9]$"))
    tab.page.click("#pause")
    expect(tab.page.locator("#link")).to_have_text(re.compile(r"\(as of \d\d:\d\d:\d\d\)$"))


def test_after_midnight_a_page_that_hears_nothing_tells_the_day(box: Box, open_tab: OpenTab) -> None:
    assert box.app.chat("primary").ok
    tab = open_tab(box.url, allowed=GONE)
    tab.context.add_init_script(LATER)
    tab.open("/slots")
    used = tab.page.locator("#slot-primary dl time").first
    expect(used).to_have_text(TODAY)
    tab.page.route("**/events*", lambda route: route.abort())
    tab.page.evaluate("htmx.find('#live')._htmx.sse.reader.cancel()")
    tab.link("reconnecting")
    tab.page.evaluate("window.__later = 24 * 3600 * 1000")
    expect(tab.page.locator("#link")).to_have_text(re.compile(r"\(as of \d+ [A-Z][a-z]+ \d\d:\d\d\)$"))
    expect(tab.page).to_have_title(re.compile(r"\(as of \d+ [A-Z][a-z]+ \d\d:\d\d\)$"))
    expect(used).to_have_text(re.compile(r"^\d+ [A-Z][a-z]+ \d\d:\d\d$"))


def test_every_time_is_told_by_the_readers_clock_in_the_titles_of_the_picture_too(box: Box, open_tab: OpenTab) -> None:
    assert box.app.chat("primary").ok
    tab = open_tab(box.url, timezone_id="Asia/Kolkata").open("/slots")
    expect(tab.page.locator("#residency title", has_text="primary")).not_to_have_count(0)
    told, titles = tab.page.evaluate(TIMES)
    for utc, text in told:
        then = datetime.fromisoformat(utc).astimezone(KOLKATA)
        assert text in (f"{then:%H:%M:%S}", f"{then.day} {then:%b %H:%M}")
    in_titles = {time for title in titles for time in re.findall(r"\d\d:\d\d:\d\d", title)}
    assert in_titles
    assert in_titles <= {text for _, text in told}


# -- hal0 is updated under it


class Updated(NamedTuple):
    """A hal0 whose files are the test's own."""

    app: App
    page: Path

    def update(self) -> None:
        """Start it anew with another page."""
        self.page.write_text(self.page.read_text().replace("<h1>", "<h1>Newer "))
        self.app.stop()
        self.app.start()


@pytest.fixture
def installed(box: Box, tmp_path: Path) -> Iterator[Updated]:
    package = tmp_path / "hal0app"
    shutil.copytree(Path(hal0app.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / "home"
    home.mkdir()
    there = ["env", "-C", str(tmp_path)]  # Python and gunicorn look first where they are started
    app = App(home, free_port(), box.engine.url, {"PYTHONPATH": str(tmp_path)}, behind=there)
    try:
        app.start()
        yield Updated(app, package / "web" / "templates" / "slots.html")
    finally:
        app.stop()


def test_an_open_page_becomes_that_of_the_new_hal0_unless_somebody_writes_on_it(
    installed: Updated, open_tab: OpenTab
) -> None:
    idle = open_tab(installed.app.url, allowed=GONE).open("/slots")
    busy = open_tab(installed.app.url, allowed=GONE).open("/slots/new")
    busy.page.fill("#name", "half-wri")
    installed.update()
    expect(idle.page.locator("h1")).to_have_text("Newer Slots")
    idle.link("live")
    expect(busy.page.locator("#renewed")).to_contain_text("hal0 was updated. Reload when you are done here")
    expect(busy.page.locator("#name")).to_have_value("half-wri")
    assert not busy.reloaded
    assert busy.axe() == []
    busy.page.click("#renewed a")
    expect(busy.page.locator("#renewed")).to_be_hidden()
    busy.link("live")
    assert busy.reloaded


def test_a_page_that_asks_again_and_again_becomes_that_of_the_new_hal0_too(
    installed: Updated, open_tab: OpenTab
) -> None:
    tab = open_tab(installed.app.url, allowed=GONE)
    tab.page.route("**/events*", lambda route: route.continue_(url=f"{route.request.url}&poll=1"))
    tab.page.goto(f"{installed.app.url}/slots")
    tab.link("keptBack")
    installed.update()
    expect(tab.page.locator("h1")).to_have_text("Newer Slots")
    tab.link("keptBack")


def test_an_old_page_that_something_on_the_way_keeps_is_reloaded_once(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url)
    asked: list[str] = []

    def old(route: Route) -> None:
        asked.append(route.request.url)
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('data-boot="', 'data-boot="old'))

    tab.page.route("**/slots", old)
    tab.page.goto(f"{box.url}/slots")
    expect(tab.page.locator("#renewed")).to_be_visible()
    tab.link("live")
    assert len(asked) == 2


# -- it is left, and come back to


def test_a_page_that_is_come_back_to_goes_on_from_where_it_was(box: Box, browser: Browser) -> None:
    """With the browser's cache of whole pages, which playwright turns off."""
    with launched(browser.browser_type, keeps_pages=True) as keeping:
        context = keeping.new_context()
        context.add_init_script(WATCH)
        tab = Tab(context.new_page(), box.url, context, allowed=("404",))  # the other page has no icon
        tab.listen()
        tab.open("/slots")
        tab.page.click("#slot-primary-history > summary")
        tab.page.goto(f"{box.url}/healthz")
        with all_places(box):
            pass
        assert box.app.chat("primary").ok
        tab.page.evaluate("history.back()")  # a page that was kept is not loaded again, so that nothing waits for that
        tab.card("primary", "Ready")
        tab.link("live")
        assert not tab.reloaded
        expect(tab.page.locator("#slot-primary-history")).to_have_attribute("open", "")
        assert tab.complaints == []
