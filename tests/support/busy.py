"""A slot whose one request does not end for as long as a test wants."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import requests

from tests.support import processes
from tests.support.app import App


@contextmanager
def busy(app: App, slot: str) -> Iterator[Future[requests.Response]]:
    """A chat with `slot`, whose backend process is stopped until the end; the answer comes then."""
    assert app.chat(slot).status_code == 200
    model = app.slot_is(slot, "ready")["model"]
    pid = next(one["pid"] for one in app.get("/api/residency").json()["residents"] if one["model"] == model)
    with ThreadPoolExecutor(1) as pool:
        processes.stop(pid)
        try:
            asked = pool.submit(app.chat, slot)
            app.slot_is(slot, "serving")
            yield asked
        finally:
            os.kill(pid, signal.SIGCONT)
        assert asked.result().status_code == 200
