"""A warm slot while another model loads, on AMD's real lemond in its chroot: what hal0 adds, and what lemond would.

Asked in turn: the model's own server, and hal0. Meanwhile somebody asks through lemond's port, where it waits.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from typing import Any
from urllib.parse import urlsplit

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
GIVE_UP_S = 60.0


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


def _load(app: App, loading: threading.Event) -> None:
    """Load and unload the cold model a few times; the event is set while it loads."""
    begun = time.monotonic()
    for _ in range(LOADS):
        if time.monotonic() - begun > LONGEST_S:
            return
        loading.set()
        app.post("/api/slots/cold/load?wait=true").raise_for_status()
        loading.clear()
        app.post("/api/slots/cold/unload?wait=true").raise_for_status()


def _ask_while(loading: threading.Event, *ways: Way) -> None:
    """Ask each in turn as long as the other model loads, until it does so no more."""
    while loading.wait(NEXT_LOAD_S):
        for way in ways:
            way.ask()


def _compare(app: App, engine: Engine) -> Figures:
    own, through = Way(engine.residents()["small"]["backend_url"], "small"), Way(f"{app.url}/v1", "warm")
    lemond = Way(f"{engine.url}/v1", "small")
    for way in (own, through, lemond):
        way.ask()
        way.times_ms.clear()
    loading = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(_load, app, loading), pool.submit(_ask_while, loading, lemond)]
        _ask_while(loading, own, through)
        for one in others:
            one.result()
    return {
        "added_p99_ms": through.percentile(0.99) - own.percentile(0.99),
        "p99_ms": through.percentile(0.99),
        "own_p99_ms": own.percentile(0.99),
        "lemond_ms": lemond.percentile(1.0),
        "asked": len(through.times_ms),
    }


def warm(_: Contender, lemonade: Callable[..., AbstractContextManager[Engine]] = real_lemond) -> Figures:
    """Latency of a warm slot in milliseconds while another model loads."""
    files = {"small": models.chat(), "big": models.gemma()}
    with (
        all_cpus(),
        lemonade(max_loaded_models=2, models=files, user_models={}, llamacpp=LLAMACPP) as engine,
        hal0(engine.url, SLOTS) as app,
    ):
        app.chat("warm", max_tokens=1).raise_for_status()
        return _compare(app, engine)
