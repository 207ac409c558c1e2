"""Debian's Chromium through playwright, and what it must not complain about while a page is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, BrowserType, ConsoleMessage, Page, expect, sync_playwright

from hal0app.web.vendor import Package, fetch
from tests.support import cache

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             # names for the tests of who may ask: this machine's on the network, a rebound one, another site
             "--host-resolver-rules=MAP halo.local 127.0.0.1,MAP rebind.example 127.0.0.1,MAP evil.example 127.0.0.1",
]  # fmt: skip
# Runs before the page's scripts and is exempt from its policy.
WATCH = """window.__violations = []; document.addEventListener('securitypolicyviolation',
    event => window.__violations.push(event.effectiveDirective));"""
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
# What a theme or a width by itself can break; the elements are the same in all of them.
AXE_LOOKS = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DEADLINE_MS = 30_000
GONE = ("net::ERR_", "Failed to fetch", "network error", "timeout")  # what a page says while hal0 is away, or slow

expect.set_options(timeout=DEADLINE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser. AssertionError with what to do when it is not installed."""
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing: run tests/e2e/install-chromium.sh (make browser does)"
    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        yield browser


@contextmanager
def launched(kind: BrowserType, keeps_pages: bool = False) -> Iterator[Browser]:
    """A browser of a playwright that runs; `keeps_pages`: whole ones for the back button, as browsers do."""
    without = ["--disable-back-forward-cache"] if keeps_pages else []
    browser = kind.launch(executable_path=CHROMIUM, args=ARGUMENTS, headless=True, ignore_default_args=without)
    try:
        yield browser
    finally:
        browser.close()


@dataclass
class Tab:
    """An open page with everything it complained about. `allowed`: parts of console lines that a test expects."""

    page: Page
    url: str
    context: BrowserContext
    allowed: tuple[str, ...] = ()
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.set_default_timeout(DEADLINE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(part in message.text for part in self.allowed):
            self.complaints.append(message.text)

    def open(self, path: str = "/slots") -> Tab:
        """Go there and wait until the stream is live; mark the window, so that a reload is noticed."""
        self.page.goto(self.url + path, wait_until="load")  # a stream never idles
        self.link("live")
        self.page.evaluate("window.__mark = true")
        return self

    def hide(self, hidden: bool) -> None:
        """Make the page believe that it is (not) hidden, as behind another tab."""
        self.page.evaluate(
            """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
            document.dispatchEvent(new Event('visibilitychange')); }""",
            hidden,
        )

    def link(self, state: str) -> None:
        """Wait until the page says this of its connection."""
        expect(self.page.locator("#link")).to_have_attribute("data-state", state)

    def card(self, slot: str, word: str, sentence: str | None = None) -> None:
        """Wait until the slot's card shows this."""
        expect(self.page.locator(f"#slot-{slot} .word")).to_have_text(word)
        if sentence is not None:
            expect(self.page.locator(f"#slot-{slot} .sentence")).to_have_text(sentence)

    def press(self, slot: str, act: str) -> None:
        """Click the slot's button."""
        self.page.click(f"#slot-{slot}-{act}")

    @property
    def reloaded(self) -> bool:
        return not self.page.evaluate("window.__mark === true")

    @property
    def violations(self) -> list[str]:
        """The directives of the content security policy that the page broke."""
        found: list[str] = self.page.evaluate("window.__violations")
        return found

    def axe(self, looks_only: bool = False) -> list[str]:
        """What axe-core objects to, one line per rule."""
        only = {"type": "rule", "values": AXE_LOOKS} if looks_only else {"type": "tag", "values": AXE_TAGS}
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe_source())
        found: dict[str, Any] = self.page.evaluate(
            "only => axe.run(document, {runOnly: only, resultTypes: ['violations']})", only
        )
        return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found["violations"]]


def axe_source() -> str:
    """axe-core, fetched from the package registry at first use."""
    path = cache.folder("axe") / f"{AXE.version}.js"
    if not path.exists():
        path.write_bytes(fetch(AXE, ["axe.min.js"])["axe.min.js"])
    return path.read_text()
