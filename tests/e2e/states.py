"""The states in which every page must be right, as context managers over the shared box, and where they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import requests

from tests.e2e.box import ELSEWHERE, Box
from tests.support.app import hal0

PAGES = ("/", "/slots", "/models", "/chat", "/journal", "/journal/lemonade", "/journal/hal0", "/settings")
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
    box.app.wait_for(lambda: 'data-model="tiny-a"' in box.app.get("/models").text, "hal0 knows the list of models")
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
    box.engine.put("registry", total=18_600_000_000, rate=100_000_000)
    box.app.post("/api/models/pull", {"model_name": "user.Some-Model-30B-A3B-GGUF"}).raise_for_status()
    box.app.post("/api/downloads/model:user.Some-Model-30B-A3B-GGUF/pause").raise_for_status()
    try:
        yield box.url
    finally:
        box.app.post("/api/downloads/model:user.Some-Model-30B-A3B-GGUF/discard")
        box.engine.release()


@contextmanager
def download_failed(box: Box) -> Iterator[str]:
    box.engine.put("registry", total=18_600_000_000, rate=100_000_000_000, fail_at=6_100_000_000)
    box.app.post("/api/models/pull", {"model_name": "user.Other-Model-8B-GGUF"}).raise_for_status()
    try:
        yield box.url
    finally:
        box.app.post("/api/downloads/model:user.Other-Model-8B-GGUF/discard")
        box.engine.release()


@contextmanager
def offline(box: Box) -> Iterator[str]:
    configure(box, offline=True)
    box.app.wait_for(lambda: "Downloads are off" in box.app.get("/models").text, "hal0 has read that")
    try:
        yield box.url
    finally:
        configure(box, offline=False)


def configure(box: Box, **changes: object) -> None:
    """Change the engine's configuration behind hal0's back."""
    requests.post(f"{box.engine.url}/internal/set", json=changes, timeout=30).raise_for_status()


@dataclass(frozen=True)
class State:
    """How to come into it, and the pages that look different in it; what they say then is in microcopy.toml."""

    enter: Callable[[Box], AbstractContextManager[str]]
    pages: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)


STATES: dict[str, State] = {
    "normal": State(normal, PAGES),
    "empty": State(empty, SLOT_PAGES),
    "loading": State(loading, SLOT_PAGES),
    "failed": State(failed, SLOT_PAGES),
    "busy": State(busy, ("/", "/slots")),
    "down": State(down, PAGES),
    "evicted": State(evicted, ("/", "/slots")),
    "waiting": State(waiting, ("/", "/slots")),
    "kept-out": State(kept_out, ("/", "/slots")),
    "looking": State(looking, ("/slots", "/login"), ELSEWHERE),
    "drift": State(drift, ("/slots",)),
    "paused": State(paused, ("/models",)),
    "download-failed": State(download_failed, ("/models",)),
    "offline": State(offline, ("/models", "/settings")),
}
