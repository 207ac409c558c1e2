"""A warm slot while another model loads, on AMD's real lemond in its chroot: what hal0 adds, and what lemond would.

Asked in turn: the model's own server, and hal0. Meanwhile somebody asks through lemond's port, where it waits.
"""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.bench.contenders import Contender
from tests.bench.generator import Failed
from tests.bench.machine import all_cpus
from tests.bench.measure import Figures
from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine, real_lemond

SLOTS: Mapping[str, Mapping[str, Any]] = {
    "warm": {"type": "llm", "model": "small", "max_in_flight": 4},
    "cold": {"type": "llm", "model": "big"},
}
WARM = ("added_p99_ms", "p99_ms", "own_p99_ms", "lemond_ms", "asked")
LLAMACPP = {"backend": "system", "prefer_system": True, "args": "--parallel 1 --threads 1"}  # the cold leaves a CPU
LOADS = 5
LONGEST_S = 10.0  # no load begins later
NEXT_LOAD_S = 6.0  # more than an unload takes
GIVE_UP_S = 30.0  # of one request
LOAD_S = 90.0  # of one load or unload
ALL_OF_IT_S = 180  # with the wait for another process's lemond to end


class Way:
    """A place where the warm model is asked for one token, again and again. `times_ms`: how long it took.

    On a new connection each time: lemond and llama-server end one that was idle, or after a hundred requests.
    """

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, f"{parts.path}/chat/completions"
        messages = [{"role": "user", "content": "hello"}]
        self._body = json.dumps({"model": model, "messages": messages, "max_tokens": 1})
        self.times_ms: list[float] = []

    def ask(self) -> None:
        """One request. Raises Failed unless it is answered well."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=GIVE_UP_S)
        with closing(connection):
            connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise Failed(f"{self._path} was answered {answer.status}: {body[:300]!r}")
        self.times_ms.append((time.monotonic() - begun) * 1000)

    def percentile(self, share: float) -> float:
        """Of the times; Failed when there are none."""
        if not self.times_ms:
            raise Failed("no request was made while the other model loaded")
        return sorted(self.times_ms)[int((len(self.times_ms) - 1) * share)]


class Loads:
    """The loads of the cold model: whether one is under way, and whether there will be another."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loading, self._over = threading.Event(), threading.Event()

    def run(self) -> None:
        """Load and unload the model a few times. Raises Failed when that is refused or takes too long."""
        begun = time.monotonic()
        try:
            for _ in range(LOADS):
                if self._over.is_set() or time.monotonic() - begun > LONGEST_S:
                    return
                self._loading.set()
                self._act("load")
                self._loading.clear()
                self._act("unload")
        finally:
            self.end()

    def _act(self, act: str) -> None:
        try:
            answer = requests.post(f"{self._app.url}/api/slots/cold/{act}?wait=true", timeout=LOAD_S)
        except requests.RequestException as problem:
            raise Failed(f"the {act} of the other model: {problem}") from problem
        if not answer.ok:
            raise Failed(f"the {act} of the other model was answered {answer.status_code}: {answer.text[:300]}")

    def end(self) -> None:
        """There will be no other; nobody waits for one."""
        self._over.set()
        self._loading.set()

    def ask_during(self, *ways: Way) -> None:
        """Ask each in turn as long as the other model loads, until it does so no more."""
        while self._loading.wait(NEXT_LOAD_S) and not self._over.is_set():
            for way in ways:
                way.ask()


def _compare(app: App, engine: Engine) -> Figures:
    own, through = Way(engine.residents()["small"]["backend_url"], "small"), Way(f"{app.url}/v1", "warm")
    lemond = Way(f"{engine.url}/v1", "small")
    for way in (own, through, lemond):
        way.ask()
        way.times_ms.clear()
    loads = Loads(app)
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(loads.run), pool.submit(loads.ask_during, lemond)]
        try:
            loads.ask_during(own, through)
        finally:
            loads.end()  # else the pool would wait for those who still ask
        for one in others:
            one.result()
    return {
        "added_p99_ms": through.percentile(0.99) - own.percentile(0.99),
        "p99_ms": through.percentile(0.99),
        "own_p99_ms": own.percentile(0.99),
        "lemond_ms": lemond.percentile(1.0),
        "asked": len(through.times_ms),
    }


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Raises Failed after so many seconds, whatever is waited for; in the main thread only."""

    def late(*_: object) -> None:
        raise Failed(f"it was not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def warm(_: Contender, lemonade: Callable[..., AbstractContextManager[Engine]] = real_lemond) -> Figures:
    """Latency of a warm slot in milliseconds while another model loads."""
    files = {"small": models.chat(), "big": models.gemma()}
    with (
        all_cpus(),
        _within(ALL_OF_IT_S),
        lemonade(max_loaded_models=2, models=files, user_models={}, llamacpp=LLAMACPP) as engine,
        hal0(engine.url, SLOTS) as app,
    ):
        app.chat("warm", max_tokens=1).raise_for_status()
        return _compare(app, engine)
