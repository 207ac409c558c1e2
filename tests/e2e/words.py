"""The catalogue of the pages' words (microcopy.toml), and whether a page says them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from playwright.sync_api import Page, expect

WORDS: dict[str, dict[str, dict[str, str]]] = tomllib.loads(Path(__file__).with_name("microcopy.toml").read_text())
HOLES = {"time": r"(\d+ \w+ )?\d\d:\d\d(:\d\d)?", "size": r"[\d.]+ [KMGkB]i?B?", "n": r"\d+", "any": r".*"}


def pattern(text: str) -> re.Pattern[str]:
    """The text with its holes, whatever white space is between words."""
    parts = re.split(r"\{(\w+)\}", text)
    told = [HOLES[one] if place % 2 else re.sub(r"(\\ )+", r"\\s+", re.escape(one)) for place, one in enumerate(parts)]
    return re.compile(rf"^\s*{''.join(told)}\s*$", re.DOTALL)


def says(page: Page, path: str, state: str) -> None:
    """Wait until the page says every word of its state."""
    words = WORDS.get(state, {})
    for selector, text in {**words.get("*", {}), **words.get(path, {})}.items():
        expect(page.locator(selector).first).to_have_text(pattern(text), use_inner_text=True)
