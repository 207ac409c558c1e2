"""`make screenshots`: every page in every state, light and dark, wide and narrow, into a folder to be looked at."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.e2e.box import filled
from tests.e2e.browser import WATCH, Tab, chromium
from tests.e2e.states import STATES
from tests.e2e.words import says

LOOKS = (("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320))


def more_of_slots(page: Page) -> None:
    for box in page.locator("#slot-primary-more > summary, #slot-primary-history > summary").all():
        box.click()


def dialog(page: Page) -> None:
    page.goto(page.url.partition("/slots")[0] + "/slots")
    page.click("#slot-primary-more > summary")
    page.click("#slot-primary-swap")
    page.select_option("#swap-model", "tiny-b")
    page.wait_for_selector("#cost button")


def answered(page: Page) -> None:
    page.click("#chat-more > summary")
    page.fill("#max_tokens", "40")
    page.fill("#prompt", "Hello. What are you?")
    page.click("#chat-send")
    page.wait_for_selector(".answer-facts")


# What is seen only after something was done: name -> page, and what to do.
DONE: dict[str, tuple[str, Callable[[Page], None]]] = {
    "slots-open": ("/slots", more_of_slots),
    "slots-swap": ("/slots", dialog),
    "slots-details": ("/slots/bad/details", lambda page: None),
    "slots-new": ("/slots/new", lambda page: page.click("#rare > summary")),
    "slots-wrong": ("/slots/new", lambda page: page.click("text=Create slot")),
    "slots-delete": ("/slots/second/delete", lambda page: None),
    "models-delete": ("/models/delete?model=tiny-a", lambda page: None),
    "journal-none": ("/journal?q=nothing+says+this", lambda page: None),
    "journal-unwrapped": ("/journal", lambda page: page.uncheck("#log-wrap")),
    "chat-answered": ("/chat?slot=primary", answered),
    "footer-open": ("/", lambda page: page.click("#latest > summary")),
}


def take(
    browser: Browser,
    url: str,
    path: str,
    name: str,
    folder: Path,
    ready: Callable[[Page], None],
    headers: dict[str, str] | None = None,
) -> None:
    """One page in every look."""
    for scheme, width in LOOKS:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            extra_http_headers=headers,
        )
        context.add_init_script(WATCH)
        tab = Tab(context.new_page(), url, context)
        tab.open(path)
        ready(tab.page)
        tab.page.evaluate("window.scrollTo(0, 0)")  # or the head stands in the middle of a long picture
        tab.page.wait_for_timeout(300)  # a morph and a font may still settle
        tab.page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
        context.close()


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with filled() as box, chromium() as browser:
        for name, state in STATES.items():
            box.at_rest()
            with state.enter(box) as url:
                for path in state.pages:
                    page = path.strip("/").replace("/", "-") or "overview"
                    take(
                        browser,
                        url,
                        path,
                        f"{page}-{name}",
                        folder,
                        partial(says, path=path, state=name),
                        state.headers,
                    )
            print(name, flush=True)
        box.at_rest()
        for name, (path, act) in DONE.items():
            take(browser, box.url, path, name, folder, act)
            print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
