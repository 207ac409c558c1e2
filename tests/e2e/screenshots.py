"""`make screenshots`: every page in every state, light and dark, wide and narrow, into a folder to be looked at.

A picture that cannot be taken keeps no other from being taken; the exit code tells of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, expect

from tests.e2e.box import ELSEWHERE, Box, filled
from tests.e2e.browser import WATCH, Tab, chromium
from tests.e2e.states import STATES
from tests.e2e.words import says

LOOKS = (("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320))
BETWEEN = (("light", 600), ("dark", 1000), ("light", 1920))  # of the pages in their normal state
PATIENCE_MS = 120_000  # a machine that does other things


def more_of_slots(page: Page) -> None:
    for box in page.locator("#slot-primary-more > summary, #slot-primary-history > summary").all():
        box.click()


def swap(page: Page) -> None:
    page.click("#slot-primary-more > summary")
    page.click("#slot-primary-swap")
    page.select_option("#swap-model", "tiny-b")
    page.wait_for_selector("#cost button")


def delete(page: Page) -> None:
    page.click("#slot-second-more > summary")
    page.click("#slot-second-delete")
    page.wait_for_selector("#dialog[open] .danger")


def answered(page: Page) -> None:
    page.click("#chat-more > summary")
    page.fill("#max_tokens", "40")
    page.fill("#prompt", "Hello. What are you?")
    page.click("#chat-send")
    page.wait_for_selector(".answer-facts")


def refused(page: Page) -> None:
    page.click("#slot-ghost-load")
    page.wait_for_selector("#alerts .toast")


def said(page: Page) -> None:
    page.click("#slot-embed-more > summary")
    page.click("#slot-embed-pin, #slot-embed-unpin")
    page.wait_for_selector("#toasts .toast")


def lost(page: Page) -> None:
    """As when hal0 does not answer any more."""
    page.route("**/events*", lambda route: route.abort())
    page.evaluate("htmx.find('#live')._htmx.sse.reader.cancel()")
    page.wait_for_selector("#link[data-state=reconnecting]")


def updated(page: Page) -> None:
    page.fill("#name", "half-written")
    page.evaluate("document.body.dataset.boot = 'of-before'")
    page.wait_for_selector("#renewed:not([hidden])")


def signed_in_wrong(page: Page) -> None:
    page.fill("#key", "not it")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-problem")


def nothing(page: Page) -> None:
    pass


@dataclass(frozen=True)
class Done:
    """What is seen only after something was done there."""

    path: str
    act: Callable[[Page], None] = nothing
    headers: dict[str, str] = field(default_factory=dict)


DONE: dict[str, Done] = {
    "slots-open": Done("/slots", more_of_slots),
    "slots-swap": Done("/slots", swap),
    "slots-delete-dialog": Done("/slots", delete),
    "slots-refused": Done("/slots", refused),
    "slots-said": Done("/slots", said),
    "slots-lost": Done("/slots", lost),
    "slots-created": Done("/slots?said=created&slot=second"),
    "slots-reload": Done("/slots?said=reload&slot=second"),
    "slots-details": Done("/slots/bad/details"),
    "slots-new": Done("/slots/new", lambda page: page.click("#rare > summary")),
    "slots-wrong": Done("/slots/new", lambda page: page.click("text=Create slot")),
    "slots-updated": Done("/slots/new", updated),
    "slots-delete": Done("/slots/second/delete"),
    "slots-none": Done("/slots/nobody/edit"),
    "overview-lost": Done("/", lost),
    "models-delete": Done("/models/delete?model=tiny-a"),
    "models-own": Done("/models", lambda page: page.click("#pull-own > summary")),
    "models-nothing": Done("/models?q=qwen9"),
    "journal-none": Done("/journal?q=nothing+says+this"),
    "journal-unwrapped": Done("/journal", lambda page: page.uncheck("#log-wrap")),
    "chat-answered": Done("/chat?slot=primary", answered),
    "settings-restart": Done("/settings/restart"),
    "settings-diagnostics": Done("/settings", lambda page: page.click("#diagnostics > summary")),
    "login-wrong": Done("/login", signed_in_wrong, ELSEWHERE),
    "overview-table": Done("/", lambda page: page.click("#memory-table > summary")),
    "footer-open": Done("/", lambda page: page.click("#latest > summary")),
}


@dataclass
class Camera:
    """Takes pictures into a folder, and keeps what went wrong."""

    browser: Browser
    folder: Path
    problems: list[str] = field(default_factory=list)

    def take(
        self,
        url: str,
        path: str,
        name: str,
        ready: Callable[[Page], None],
        headers: dict[str, str],
        looks: tuple[tuple[str, int], ...] = LOOKS,
    ) -> None:
        """One page in every look."""
        for scheme, width in looks:
            file = self.folder / f"{name}-{scheme}-{width}.png"
            context = self.browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
                extra_http_headers=headers,
            )
            context.add_init_script(WATCH)
            tab = Tab(context.new_page(), url, context)
            tab.page.set_default_timeout(PATIENCE_MS)
            try:
                tab.open(path)
                ready(tab.page)
                tab.page.evaluate("window.scrollTo(0, 0)")  # or the head stands in the middle of a long picture
                tab.page.wait_for_timeout(300)  # a morph and a font may still settle
                tab.page.screenshot(path=file, full_page=True)
            except (Error, AssertionError) as problem:
                self.problems.append(f"{file.name}: {problem}")
            context.close()

    def take_state(self, box: Box, name: str) -> None:
        """The pages that look different in a state."""
        state = STATES[name]
        box.at_rest()
        with state.enter(box) as url:
            for path in state.pages:
                page = path.strip("/").replace("/", "-") or "overview"
                looks = LOOKS + BETWEEN if name == "normal" else LOOKS
                self.take(url, path, f"{page}-{name}", partial(says, path=path, state=name), state.headers, looks)
        print(name, flush=True)


def main(folder: Path) -> int:
    """Take them all; 1 when one is missing."""
    expect.set_options(timeout=PATIENCE_MS)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    with filled() as box, chromium() as browser:
        camera = Camera(browser, folder)
        for name in STATES:
            camera.take_state(box, name)
        box.at_rest()
        for name, done in DONE.items():
            camera.take(box.url, done.path, name, done.act, done.headers)
            print(name, flush=True)
    print("\n".join(f"NOT TAKEN: {one}" for one in camera.problems) or f"all are in {folder}")
    return 1 if camera.problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")))
