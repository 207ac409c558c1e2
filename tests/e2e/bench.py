"""`make bench-ui`: the times of the pages, told and not judged. Everything else a page costs is in test_budgets.py."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import requests
from playwright.sync_api import Browser, Page

from tests.e2e.box import Box, filled
from tests.e2e.browser import WATCH, Tab, chromium
from tests.e2e.states import PAGES

ROUNDS = 7
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FIRST_BYTE = "performance.getEntriesByType('navigation')[0].responseStart"
# Milliseconds from a click to its message.
UNTIL_TOAST = """() => new Promise(done => { const began = performance.now();
    new MutationObserver(() => done(performance.now() - began)).observe(document.getElementById('toasts'),
        { childList: true }); document.querySelector('#slot-embed-pin, #slot-embed-unpin').click(); })"""


def fresh(browser: Browser, box: Box) -> Tab:
    """A page of a session of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(WATCH)
    tab = Tab(context.new_page(), box.url, context)
    tab.listen()
    return tab


def say(name: str, values: list[float], unit: str = "ms") -> None:
    """Median, least and most."""
    print(
        f"{name:42} median {statistics.median(values):8.0f} {unit}  ({min(values):.0f} to {max(values):.0f})",
        flush=True,
    )


def rounds(browser: Browser, box: Box, path: str, measure: Callable[[Page], float]) -> list[float]:
    """A measure on so many new pages."""
    values = []
    for _ in range(ROUNDS):
        tab = fresh(browser, box)
        tab.open(path)
        values.append(measure(tab.page))
        tab.context.close()
    return values


def until_live(browser: Browser, box: Box) -> list[float]:
    """From the load event to a live stream."""
    values = []
    for _ in range(ROUNDS):
        tab = fresh(browser, box)
        tab.page.goto(f"{box.url}/", wait_until="load")
        began = time.monotonic()
        tab.link("live")
        values.append(1000 * (time.monotonic() - began))
        tab.context.close()
    return values


def until_shown(browser: Browser, box: Box) -> list[float]:
    """From an eviction in Lemonade to the page: the observer's period is in it."""
    tab, values = fresh(browser, box), []
    tab.open("/slots")
    for _ in range(ROUNDS):
        box.app.post("/api/slots/primary/load?wait=true").raise_for_status()
        tab.card("primary", "Ready")
        began = time.monotonic()
        box.evict("tiny-a")
        tab.card("primary", "Evicted")
        values.append(1000 * (time.monotonic() - began))
    tab.context.close()
    return values


def until_stopped(box: Box) -> list[float]:
    """A stop of hal0 while three streams are open."""
    values = []
    for _ in range(3):
        streams = [requests.get(f"{box.url}/events?view=slots", stream=True, timeout=30) for _ in range(3)]
        began = time.monotonic()
        box.app.stop()
        values.append(1000 * (time.monotonic() - began))
        for stream in streams:
            stream.close()
        box.app.start()
    return values


def main() -> None:
    """Measure everything once."""
    with filled() as box, chromium() as browser:
        for path in PAGES:
            say(f"first byte {path}", rounds(browser, box, path, lambda page: float(page.evaluate(FIRST_BYTE))))
        say("first contentful paint /", rounds(browser, box, "/", lambda page: float(page.evaluate(FIRST_PAINT))))
        say("load to live /", until_live(browser, box))
        say("click to message", rounds(browser, box, "/slots", lambda page: float(page.evaluate(UNTIL_TOAST))))
        say("eviction in Lemonade to page", until_shown(browser, box))
        say("stop with three streams open", until_stopped(box))


if __name__ == "__main__":
    main()
