"""The states in which every page must be right, as context managers over the shared box, and where they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, expect

from tests.e2e.box import ELSEWHERE, Box
from tests.support.app import hal0

PAGES = ("/", "/slots", "/models", "/chat", "/journal", "/journal/lemonade", "/settings")
SLOT_PAGES = ("/", "/slots", "/chat")


@contextmanager
def normal(box: Box) -> Iterator[str]:
    assert box.app.chat("primary").ok
    yield box.url


@contextmanager
def empty(box: Box) -> Iterator[str]:
    with hal0(box.engine.url, {}) as app:
        yield app.url


@contextmanager
def loading(box: Box) -> Iterator[str]:
    box.engine.put("slow", model="tiny-b")
    box.app.post("/api/slots/second/load").raise_for_status()
    try:
        box.app.slot_is("second", "starting")
        yield box.url
    finally:
        box.engine.release()
        box.app.slot_is("second", "ready")


@contextmanager
def failed(box: Box) -> Iterator[str]:
    box.app.post("/api/slots/bad/load?wait=true")
    box.app.slot_is("bad", "error")
    yield box.url


@contextmanager
def busy(box: Box) -> Iterator[str]:
    assert box.app.chat("primary").ok
    box.engine.put("hang")
    try:
        yield box.url
    finally:
        box.engine.release()


@contextmanager
def down(box: Box) -> Iterator[str]:
    assert box.app.chat("primary").ok
    box.engine.kill9()
    try:
        yield box.url
    finally:
        box.engine.start()
        box.app.wait_for(lambda: box.app.get("/readyz").ok, "hal0 is ready again")


@contextmanager
def evicted(box: Box) -> Iterator[str]:
    assert box.app.chat("primary").ok
    assert box.app.chat("second").ok
    box.app.slot_is("primary", "offline", "displaced")
    yield box.url


@contextmanager
def drift(box: Box) -> Iterator[str]:
    file = box.app.home / "etc" / "slots" / "second.toml"
    before = file.read_text()
    assert box.app.chat("second").ok
    file.write_text(f"{before}ctx_size = 256\n")
    try:
        yield box.url
    finally:
        file.write_text(before)


@contextmanager
def waiting(box: Box) -> Iterator[str]:
    with loading(box):
        box.app.post("/api/slots/primary/load").raise_for_status()
        try:
            yield box.url
        finally:
            box.app.post("/api/slots/primary/cancel")


@contextmanager
def kept_out(box: Box) -> Iterator[str]:
    """Somebody else could not load a slot's model."""
    box.engine.chaos("wipe", model="embed-a", error="model_load_error")
    box.app.wait_for(lambda: quarantine(box, "embed-a"), "embed-a is in quarantine")
    try:
        yield box.url
    finally:
        box.app.post("/api/models/embed-a/clear").raise_for_status()


def quarantine(box: Box, model: str) -> object:
    return next(one["quarantine"] for one in box.app.get("/api/models").json() if one["id"] == model)


@contextmanager
def looking(box: Box) -> Iterator[str]:
    """Seen from another machine, without the key."""
    assert box.app.chat("primary").ok
    yield box.url


@contextmanager
def paused(box: Box) -> Iterator[str]:
    box.engine.put("registry", total=4_000_000_000, rate=1_000_000_000)
    box.app.post("/api/models/pull", {"model_name": "user.Some-Model-30B-A3B-GGUF"}).raise_for_status()
    box.app.post("/api/downloads/model:user.Some-Model-30B-A3B-GGUF/pause").raise_for_status()
    try:
        yield box.url
    finally:
        box.app.post("/api/downloads/model:user.Some-Model-30B-A3B-GGUF/discard")
        box.engine.release()


@dataclass(frozen=True)
class State:
    """How to come into it, the pages that look different in it, and what proves that a page shows it."""

    enter: Callable[[Box], AbstractContextManager[str]]
    pages: tuple[str, ...]
    proof: dict[str, tuple[str, str]]  # page -> selector and text
    headers: dict[str, str] = field(default_factory=dict)


BUSY, DOWN = ("#lemonade", "Lemonade is busy"), ("#lemonade", "Lemonade is not answering")
MADE_ROOM = ("#slot-primary .sentence", "evicted to make room for tiny-b")

STATES: dict[str, State] = {
    "normal": State(normal, PAGES, {"/": ("#strip", "Ready"), "/slots": ("#slot-primary .word", "Ready")}),
    "empty": State(empty, SLOT_PAGES, {"/": ("#summary", "No slots yet."), "/slots": ("#slot-grid", "Create a slot")}),
    "loading": State(loading, SLOT_PAGES, {"/slots": ("#slot-second .word", "Loading")}),
    "failed": State(failed, SLOT_PAGES, {"/": ("#summary", "need you"), "/slots": ("#slot-bad .word", "Failed")}),
    "busy": State(busy, ("/", "/slots"), {"/": BUSY, "/slots": BUSY}),
    "down": State(down, PAGES, {"/": DOWN, "/slots": ("#slot-primary .word", "Unknown")}),
    "evicted": State(evicted, ("/", "/slots"), {"/slots": MADE_ROOM}),
    "waiting": State(waiting, ("/", "/slots"), {"/slots": ("#slot-primary .word", "Waiting")}),
    "kept-out": State(kept_out, ("/", "/slots"), {"/slots": ("#slot-embed .word", "Paused")}),
    "looking": State(looking, ("/slots", "/login"), {"/slots": ("#readonly", "Only to look at")}, ELSEWHERE),
    "drift": State(drift, ("/slots",), {"/slots": ("#slot-second .word", "Drift")}),
    "paused": State(paused, ("/models",), {"/models": (".download .amount", "Stopped at")}),
}


def shows(page: Page, path: str, state: State) -> None:
    """Wait until the page shows the state."""
    if path in state.proof:
        selector, text = state.proof[path]
        expect(page.locator(selector)).to_contain_text(text)
