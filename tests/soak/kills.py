"""kill -9 of llama-servers at random moments under streams; what every client is told must be the truth, or its end."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support import processes
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually

SLOTS = {f"slot-{x}": {"type": "llm", "model": f"chat-{x}", "wait_s": 300} for x in "ab"}
SETTINGS = "[crash_loop]\ncrashes = 1000\n"  # else a slot would be given up, as it should after so many
STREAMS = 8
TOKENS = 120
HANGS_S = 120.0
WORDS = ("cat", "dog", "car", "train", "paris", "london", "city", "sat")
COMPLETE, REPLAYED, ERROR, REFUSED, CUT = "complete", "replayed", "an error event", "refused", "cut"


@dataclass
class Heard:
    """What one client was told: the text, the models that it came from, the error events, whether it was the end."""

    text: str = ""
    models: set[str] = field(default_factory=set)
    errors: int = 0
    done: bool = False
    cut: bool = False
    after_the_end: int = 0  # events after an error or [DONE]
    status: int = 200
    replayed: bool = False

    def take(self, data: str) -> None:
        """Hear one event."""
        self.after_the_end += self.done or self.errors > 0
        if data == "[DONE]":
            self.done = True
            return
        told: dict[str, Any] = json.loads(data)
        if "error" in told:
            self.errors += 1
            return
        self.models.add(told["model"])
        self.text += "".join(choice["delta"].get("content") or "" for choice in told["choices"])


def configure(home: Path) -> None:
    """Write the settings of a hal0 that is to see many kills."""
    (home / "etc").mkdir()
    (home / "etc" / "hal0.toml").write_text(SETTINGS)


def listen(app: App, slot: str, prompt: str) -> Heard:
    """Ask for a stream and hear it to its end."""
    body = {"model": slot, "messages": [{"role": "user", "content": prompt}], "stream": True, "max_tokens": TOKENS}
    same = {"temperature": 0, "seed": 1, "cache_prompt": False}
    url = f"{app.url}/v1/chat/completions"
    with requests.post(url, json={**body, **same}, stream=True, timeout=HANGS_S) as answer:
        heard = Heard(status=answer.status_code, replayed=answer.headers.get("X-Hal0-Replayed") == "1")
        if heard.status != 200:
            assert answer.json()["error"]["code"], answer.text
            return heard
        try:
            for data in _events(answer):
                heard.take(data)
        except requests.exceptions.ChunkedEncodingError:
            heard.cut = True
    return heard


def _events(answer: requests.Response) -> Iterator[str]:
    """The data of each whole event."""
    rest = b""
    for piece in answer.iter_content(None):
        *events, rest = (rest + piece).split(b"\n\n")
        yield from (one.removeprefix(b"data: ").decode() for one in events if one.startswith(b"data: "))


def judge(heard: Heard, alone: str, model: str) -> tuple[str, str]:
    """How it ended, and what is wrong with that (empty: nothing)."""
    if heard.status != 200:
        return REFUSED, "" if heard.status == 503 else f"status {heard.status}"
    if not alone.startswith(heard.text):
        return "", f"{heard.text!r} is not how {alone!r} begins"
    if heard.models - {model}:
        return "", f"{model} was asked and {heard.models} answered"
    if heard.after_the_end:
        return "", "something came after the end"
    if heard.cut:
        return CUT, "an end was told before the cut" if heard.done or heard.errors else ""
    if heard.errors:
        return ERROR, ""
    if not heard.done or heard.text != alone:
        return "", f"it ended as if it were whole with {len(heard.text)} of {len(alone)} characters"
    return (REPLAYED if heard.replayed else COMPLETE), ""


@dataclass
class Seen:
    """How streams ended, how many kills there were, and what was wrong."""

    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    failures: list[str] = field(default_factory=list)


def run(app: App, engine: Engine, kills: int, seed: int = 0) -> Seen:
    """Keep streams going on both slots while their backends are killed so many times."""
    asked = [(f"slot-{'ab'[number % 2]}", f"the {WORDS[number]} and the") for number in range(STREAMS)]
    alone = [listen(app, *one) for one in asked]
    assert all(one.done for one in alone), alone
    assert len({one.text for one in alone}) == STREAMS, "every client must be known by its text"
    seen, over = Seen(), threading.Event()

    def stream(number: int) -> None:
        slot, prompt = asked[number]
        while not over.is_set():
            begun = time.monotonic()
            try:
                end, wrong = judge(listen(app, slot, prompt), alone[number].text, slot.replace("slot", "chat"))
            except (requests.Timeout, requests.ConnectionError) as problem:
                end, wrong = "", repr(problem)
            seen.ends[end] += 1
            if wrong:
                seen.failures.append(f"after {time.monotonic() - begun:.1f} s: {wrong}")

    with ThreadPoolExecutor(STREAMS) as pool:
        work = [pool.submit(stream, number) for number in range(STREAMS)]
        try:
            _kill(engine, kills, seen, random.Random(seed))
        finally:
            over.set()
        for one in work:
            one.result()
    return seen


def _kill(engine: Engine, kills: int, seen: Seen, chance: random.Random) -> None:
    pause, killed = threading.Event(), set[int]()
    while seen.kills < kills:
        pause.wait(chance.uniform(0.0, 1.5))
        pid = eventually(lambda: _victim(engine, killed, chance), "a backend lives", within=HANGS_S)
        processes.kill(pid)
        killed.add(pid)
        seen.kills += 1


def _victim(engine: Engine, killed: set[int], chance: random.Random) -> int | None:
    living = sorted(one["pid"] for one in engine.residents().values() if one["pid"] not in killed)
    return chance.choice(living) if living else None
