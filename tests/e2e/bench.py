"""`make bench-ui`: the times of the pages, told and not judged. Everything else a page costs is in test_budgets.py."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page

from tests.e2e.box import Box, filled
from tests.e2e.browser import WATCH, Tab, chromium
from tests.e2e.states import PAGES
from tests.soak.traces import worker
from tests.support import processes

ROUNDS = 7
SETTLE_S, LISTEN_S = 3.0, 15.0
SLOW = {"latency": 40, "downloadThroughput": 5_000_000 / 8, "uploadThroughput": 5_000_000 / 8}  # ms, bytes a second
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


def phone(tab: Tab) -> Tab:
    """Slowed down to a phone on a slow network."""
    session = tab.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {"offline": False, **SLOW})
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    return tab


Prepare = Callable[[Tab], Tab]


def as_it_is(tab: Tab) -> Tab:
    return tab


def rounds(
    browser: Browser, box: Box, path: str, measure: Callable[[Page], float], prepare: Prepare = as_it_is
) -> list[float]:
    """A measure on so many new pages."""
    values = []
    for _ in range(ROUNDS):
        tab = prepare(fresh(browser, box))
        tab.open(path)
        values.append(measure(tab.page))
        tab.context.close()
    return values


def until_live(browser: Browser, box: Box, prepare: Prepare = as_it_is) -> list[float]:
    """From the load event to a live stream."""
    values = []
    for _ in range(ROUNDS):
        tab = prepare(fresh(browser, box))
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


def until_stale(browser: Browser, box: Box) -> list[float]:
    """From a worker that freezes to the page that says so."""
    tab, values = fresh(browser, box), []
    tab.open("/slots")
    for _ in range(3):
        os.kill(worker(box.app), signal.SIGSTOP)
        began = time.monotonic()
        tab.link("stale")
        values.append(1000 * (time.monotonic() - began))
        os.kill(worker(box.app), signal.SIGCONT)
        tab.link("live")
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


def listened(box: Box, view: str, viewers: int) -> None:
    """What open pages on which nothing is asked cost: bytes a second for each, and hal0's share of a core."""
    streams = [
        requests.get(f"{box.url}/events?view={view}", stream=True, timeout=60, headers={"Accept-Encoding": "identity"})
        for _ in range(viewers)
    ]
    heard, ended = [0] * viewers, threading.Event()

    def read(place: int) -> None:
        for piece in streams[place].iter_content(None):
            heard[place] += len(piece)
            if ended.is_set():
                return

    threads = [threading.Thread(target=read, args=(place,), daemon=True) for place in range(viewers)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE_S)
    first, spent, began = sum(heard), _cpu_s(box), time.monotonic()
    time.sleep(LISTEN_S)
    seconds = time.monotonic() - began
    share = 100 * (_cpu_s(box) - spent) / seconds
    memory = processes.resident_bytes(worker(box.app)) / 2**20
    rate = (sum(heard) - first) / seconds / max(viewers, 1)
    ended.set()
    for thread, stream in zip(threads, streams, strict=True):
        thread.join()  # a beat comes every two seconds
        stream.close()
    print(
        f"{f'{viewers} idle pages, {view}':42} {share:5.1f} % of a core  {rate:6.0f} B/s each  {memory:.0f} MiB",
        flush=True,
    )


def _cpu_s(box: Box) -> float:
    """Seconds of processor time that the worker has used."""
    fields = Path(f"/proc/{worker(box.app)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure everything once."""
    with filled() as box:
        for view, viewers in (("overview", 0), ("overview", 4), ("slots", 40), ("overview", 40), ("models", 4)):
            listened(box, view, viewers)
    with filled() as box, chromium() as browser:
        for path in PAGES:
            say(f"first byte {path}", rounds(browser, box, path, lambda page: float(page.evaluate(FIRST_BYTE))))
        say("first contentful paint /", rounds(browser, box, "/", lambda page: float(page.evaluate(FIRST_PAINT))))
        say("load to live /", until_live(browser, box))
        paint = rounds(browser, box, "/", lambda page: float(page.evaluate(FIRST_PAINT)), phone)
        say("first contentful paint /, slow phone", paint)
        say("load to live /, slow phone", until_live(browser, box, phone))
        say("click to message", rounds(browser, box, "/slots", lambda page: float(page.evaluate(UNTIL_TOAST))))
        say("eviction in Lemonade to page", until_shown(browser, box))
        say("frozen to stale", until_stale(browser, box))
        say("stop with three streams open", until_stopped(box))


if __name__ == "__main__":
    main()
