"""What a page costs: requests, bytes and elements. Times are told by `make bench-ui` and not asserted."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import requests

from hal0app.web.hub import BEAT_S
from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES

KB = 1000
TOTAL, WARM = 45 * KB, 14 * KB  # bytes over the wire, gzip, with the heads
SCRIPT, OWN, STYLE, PAGE = 20 * KB, 1 * KB, 8 * KB, 12 * KB  # without; OWN: what a page may have more than `/`
REQUESTS = 4  # page, style, script, icon, and one script for what a page alone needs; the stream comes besides
ELEMENTS = 1500
COUNT = "document.querySelectorAll('*').length - document.querySelectorAll('#log *').length"  # a log's lines are capped
BEATS = 4
LISTEN = {"overview": 2.0 * KB, "settings": 0.3 * KB}  # bytes a second at most, after the first picture


@dataclass
class Wire:
    """What came over it: bytes of bodies by kind, all bytes, and what the browser asked for by itself."""

    bodies: dict[str, int] = field(default_factory=dict)
    total: int = 0
    count: int = 0


def measured(tab: Tab, path: str, *, cached: bool) -> Wire:
    """Load a page and count, as the browser's own network panel does."""
    wire, kinds, heads = Wire(), dict[str, str](), dict[str, int]()
    session = tab.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": not cached})

    def answered(event: dict[str, Any]) -> None:
        kinds[event["requestId"]], heads[event["requestId"]] = event["type"], event["response"]["encodedDataLength"]

    def ended(event: dict[str, Any]) -> None:
        if event["requestId"] not in kinds:
            return
        size, kind = int(event["encodedDataLength"]), kinds[event["requestId"]]
        wire.total += size
        wire.count += size > 0 and kind != "Fetch"
        wire.bodies[kind] = wire.bodies.get(kind, 0) + max(size - heads[event["requestId"]], 0)

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", ended)
    tab.open(path)
    session.detach()
    return wire


@pytest.mark.parametrize("path", PAGES)
def test_a_first_visit_costs_few_requests_and_few_bytes(path: str, box: Box, open_tab: Callable[..., Tab]) -> None:
    wire = measured(open_tab(box.url), path, cached=False)
    further = path != "/"
    assert wire.count <= REQUESTS + further, wire
    assert wire.bodies["Script"] <= SCRIPT + further * OWN, wire
    assert wire.bodies["Stylesheet"] <= STYLE, wire
    assert wire.bodies["Document"] <= PAGE, wire
    assert wire.total <= TOTAL, wire


@pytest.mark.parametrize("path", PAGES)
def test_a_further_page_costs_little_and_is_small(path: str, box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url).open("/settings")
    wire = measured(tab, path, cached=True)
    assert wire.total <= WARM, wire
    assert tab.page.evaluate(COUNT) <= ELEMENTS


def test_an_open_page_hears_little(box: Box) -> None:
    with ThreadPoolExecutor(len(LISTEN)) as listeners:
        assert [one for one in listeners.map(partial(heard, box), LISTEN) if one] == []


def heard(box: Box, view: str) -> str:
    """What is past the bound of a view, in words. The middle one of the times between beats counts: lines may come."""
    with requests.get(f"{box.url}/events?view={view}", stream=True, timeout=60) as stream:
        sizes = [0]
        for piece in stream.iter_content(None):
            sizes[-1] += len(piece)
            sizes += [0] * piece.count(b"event: beat")
            if len(sizes) > BEATS:
                break
    rate = statistics.median(sizes[1:-1]) / BEAT_S  # without the first picture
    return "" if rate <= LISTEN[view] else f"{view}: {rate:.0f} bytes a second"
