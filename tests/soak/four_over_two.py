"""Four chat slots over two places: clients alternate at random while somebody else reads lemond's health."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.soak.seen import Seen
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually

SLOTS = {f"slot-{x}": {"type": "llm", "model": f"chat-{x}"} for x in "abcd"}
CLIENTS = 8
HEALTH_EVERY_S = 0.2


class _Traffic:
    def __init__(self, app: App, engine: Engine, seconds: float) -> None:
        self.app, self.engine = app, engine
        self.seen = Seen()
        self._until = time.monotonic() + seconds

    @property
    def on(self) -> bool:
        return time.monotonic() < self._until

    def client(self, number: int) -> None:
        """Chat with one slot after the other, half of the answers streamed."""
        choose = random.Random(number)
        while self.on:
            slot, stream = choose.choice(list(SLOTS)), choose.random() < 0.5
            begun = time.monotonic()
            answer = self.app.chat(slot, max_tokens=choose.randint(1, 24), stream=stream)
            self._note(slot, answer, stream, time.monotonic() - begun)

    def _note(self, slot: str, answer: requests.Response, stream: bool, took_s: float) -> None:
        waited = answer.text.startswith(": hal0")  # a sign of life went out before it was known where it goes
        good = answer.status_code == 200 and (waited or answer.headers.get("X-Hal0-Slot") == slot)
        good = good and (not stream or (answer.text.rstrip().endswith("data: [DONE]") and '"error"' not in answer.text))
        self.seen.note(slot, "" if good else f"{answer.status_code} {answer.text[-300:]}", took_s)

    def read_health(self) -> None:
        """Read lemond's health as an outsider does, and note the longest wait."""
        self.seen.read_health(self.engine, HEALTH_EVERY_S, lambda: self.on)


def run(app: App, engine: Engine, seconds: float, every_second: Callable[[], None] = lambda: None) -> Seen:
    """Drive the traffic; `every_second` is called once a second meanwhile. Ends when the last client is served."""
    traffic = _Traffic(app, engine, seconds)
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        work = [pool.submit(traffic.client, number) for number in range(CLIENTS)]
        work.append(pool.submit(traffic.read_health))
        tick = threading.Event()
        while traffic.on:
            every_second()
            tick.wait(1.0)
        for one in work:
            one.result()
    eventually(lambda: not any(slot["in_flight"] or slot["queued"] for slot in app.get("/api/slots").json()), "quiet")
    return traffic.seen
