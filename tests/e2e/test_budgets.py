"""What a page costs: requests, bytes and elements. Times are told by `make bench-ui` and not asserted."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest
import requests

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import PAGES

KB = 1000
TOTAL, SCRIPT, STYLE, PAGE, WARM = 45 * KB, 20 * KB, 8 * KB, 12 * KB, 14 * KB  # bytes over the wire, gzip
REQUESTS = 4  # page, style, script, icon; the stream comes besides
ELEMENTS = 1500
SECONDS = 6.0
LISTEN = {"overview": 2.0 * KB, "settings": 0.3 * KB}  # bytes a second at most, after the first picture


@dataclass
class Wire:
    """What came over it, by kind: bytes and requests."""

    sizes: dict[str, int] = field(default_factory=dict)
    count: int = 0


def measured(tab: Tab, path: str, *, cached: bool) -> Wire:
    """Load a page and count, as the browser's own network panel does."""
    wire, kinds = Wire(), dict[str, str]()
    session = tab.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": not cached})

    def began(event: dict[str, object]) -> None:
        kinds[str(event["requestId"])] = str(event.get("type", ""))

    def ended(event: dict[str, object]) -> None:
        kind = kinds.get(str(event["requestId"]), "")
        wire.sizes[kind] = wire.sizes.get(kind, 0) + int(event["encodedDataLength"])  # type: ignore[call-overload]
        wire.count += int(event["encodedDataLength"]) > 0  # type: ignore[call-overload]

    session.on("Network.requestWillBeSent", began)
    session.on("Network.loadingFinished", ended)
    tab.open(path)
    session.detach()
    return wire


def test_a_first_visit_costs_four_requests_and_few_bytes(box: Box, open_tab: Callable[..., Tab]) -> None:
    wire = measured(open_tab(box.url), "/", cached=False)
    assert wire.count <= REQUESTS, wire
    assert wire.sizes["Script"] <= SCRIPT, wire
    assert wire.sizes["Stylesheet"] <= STYLE, wire
    assert wire.sizes["Document"] <= PAGE, wire
    assert sum(wire.sizes.values()) <= TOTAL, wire


@pytest.mark.parametrize("path", PAGES)
def test_a_further_page_costs_little_and_is_small(path: str, box: Box, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(box.url).open("/settings")
    wire = measured(tab, path, cached=True)
    assert sum(wire.sizes.values()) <= WARM, wire
    assert tab.page.evaluate("document.querySelectorAll('*').length") <= ELEMENTS


def test_an_open_page_hears_little(box: Box) -> None:
    with ThreadPoolExecutor(len(LISTEN)) as listeners:
        assert [one for one in listeners.map(partial(heard, box), LISTEN) if one] == []


def heard(box: Box, view: str) -> str:
    """What is past the bound of a view, in words."""
    with requests.get(f"{box.url}/events?view={view}", stream=True, timeout=30) as stream:
        pieces = stream.iter_content(None)
        next(pieces)
        began, size = time.monotonic(), 0
        for piece in pieces:
            passed = time.monotonic() - began
            size += len(piece) if passed > 1.0 else 0  # the rest of the first picture
            if passed > SECONDS:
                break
        rate = size / (passed - 1.0)
        return "" if rate <= LISTEN[view] else f"{view}: {rate:.0f} bytes a second"
