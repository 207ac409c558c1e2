"""`make soak-ui`: pages that stay open under traffic grow neither in the browser nor in hal0; the exit code says it."""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, CDPSession

from tests.e2e.box import Box, filled
from tests.e2e.browser import WATCH, Tab, chromium
from tests.soak.traces import traces, worker
from tests.support import processes
from tests.support.waiting import eventually

MIB = 1024 * 1024
OPEN = ("/", "/slots", "/models", "/journal", "/journal/lemonade")
SAMPLES = 12
PAUSE_S = 0.4  # between two acts


@dataclass(frozen=True)
class Bound:
    """What may be added from the first third of the samples to the last: a share of what was there, and a bit."""

    name: str
    share: float
    most: float


# The lines of a log are kept up to a thousand, so pages that show one are not counted by their elements.
ELEMENTS, HEAP, MEMORY = Bound("elements", 0.1, 60), Bound("JS heap, MiB", 0.25, 1.5), Bound("hal0's memory, MiB", 0, 6)
# Lists that fill up to a length of their own are held to that instead.
CAPS = {"#slot-primary-history li": 20, "#slot-embed-history li": 20, "#residency tbody tr": 50}
COUNT = "document.querySelectorAll('*').length - document.querySelectorAll('.past *, #residency tbody *').length"


def grown(bound: Bound, values: list[float], whose: str) -> str:
    """What is past the bound, in words; empty: nothing."""
    third = max(len(values) // 3, 1)
    before, after = statistics.median(values[:third]), statistics.median(values[-third:])
    print(f"{whose:20} {bound.name:20} {before:10.1f} to {after:10.1f}", flush=True)
    past = after - before > before * bound.share + bound.most
    return f"{whose}: {bound.name} grew from {before:.1f} to {after:.1f}" if past else ""


@contextmanager
def traffic(box: Box) -> Iterator[None]:
    """Chats that load, evictions, changes of a slot, over and over."""
    ended = threading.Event()

    def run() -> None:
        turn = 0
        while not ended.wait(PAUSE_S):
            turn += 1
            box.app.chat(("primary", "second")[turn // 4 % 2])
            box.app.post(f"/api/slots/embed/{'pin' if turn % 2 else 'unpin'}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


@dataclass
class Watched:
    """An open page, and what the browser tells of it."""

    path: str
    tab: Tab
    session: CDPSession

    def measure(self) -> tuple[float, float]:
        """Elements, and MiB of objects that are in use."""
        self.session.send("HeapProfiler.collectGarbage")
        told = {one["name"]: one["value"] for one in self.session.send("Performance.getMetrics")["metrics"]}
        return float(self.tab.page.evaluate(COUNT)), told["JSHeapUsedSize"] / MIB

    def lines(self, selector: str) -> int:
        """How many there are."""
        return self.tab.page.locator(selector).count()


def watch(browser: Browser, box: Box, path: str) -> Watched:
    """A page of a session of its own."""
    context = browser.new_context()
    context.add_init_script(WATCH)
    tab = Tab(context.new_page(), box.url, context)
    tab.listen()
    tab.open(path)
    session = context.new_cdp_session(tab.page)
    session.send("Performance.enable")
    return Watched(path, tab, session)


def soak(minutes: float) -> list[str]:
    """Print what was seen; what is past its bound."""
    with filled() as box, chromium() as browser:
        for slot in ("primary", "second"):
            assert box.app.chat(slot).ok
        before = traces(box.app)
        pages = [watch(browser, box, path) for path in OPEN]
        seen: dict[str, list[tuple[float, float]]] = {path: [] for path in OPEN}
        memory: list[float] = []
        with traffic(box):
            for _ in range(SAMPLES):
                time.sleep(minutes * 60 / SAMPLES)
                memory.append(processes.resident_bytes(worker(box.app)) / MIB)
                for one in pages:
                    seen[one.path].append(one.measure())
        past = [
            grown(bound, [sample[place] for sample in samples], path)
            for path, samples in seen.items()
            for place, bound in enumerate((ELEMENTS, HEAP))
            if bound is HEAP or "journal" not in path
        ]
        past.append(grown(MEMORY, memory, "worker"))
        for one in pages:
            past += [f"{one.path}: {line}" for line in one.tab.complaints]
            past += [f"{one.path} was reloaded"] * one.tab.reloaded
            past += [f"{one.path}: more than {most} {lines}" for lines, most in CAPS.items() if one.lines(lines) > most]
            one.tab.context.close()
        eventually(lambda: traces(box.app) <= before, "no stream is left open", within=60.0)
    return [one for one in past if one]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    past = soak(parser.parse_args().minutes)
    print("\n".join(f"PAST ITS BOUND: {one}" for one in past) or "within its bounds")
    return 1 if past else 0


if __name__ == "__main__":
    sys.exit(main())
