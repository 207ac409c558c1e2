"""What is wrong with the engine now: faults that are put in and released while it runs, and where they strike.

They strike at the engine's two seams, `Application` (a request comes) and `Starts` (a backend is started); the
engine itself knows nothing of them. The table `FAULTS` and its words are documented in docs/embedded.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hal0app.embedded import simulated_downloads
from hal0app.embedded.errors import StartError
from hal0app.embedded.http import Application, Reply, Request, Stream
from hal0app.embedded.process import Backend, Cancelled
from hal0app.embedded.router import Starts
from hal0app.embedded.simulated_downloads import SimulatedDownloads

Facts = Mapping[str, Any]

# Each fault with what it takes and what holds when that is not said; model "" = every model.
FAULTS: dict[str, dict[str, Any]] = {
    "hang": {"what": "health"},
    "threads": {"count": 0},
    "cut": {"after": 0},
    "refuse": {"model": "", "error": "llama-server failed to start"},
    "slow": {"model": "", "seconds": None},
    "registry": simulated_downloads.DEFAULTS,
}
# What takes no lock in lemond, so that it answers while the router is stuck.
FREE = ("/live", "/v1/stats", "/v1/system-info", "/v1/system-stats", "/internal/config", "/logs/stream")
LOOK_S = 0.1


class Faults:
    """The active faults, by kind and model. Thread-safe; whoever waits for a release is woken by it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active: dict[tuple[str, str], Facts] = {}
        self._serving = 0

    def put(self, kind: str, facts: Facts) -> Facts:
        """Make `kind` strike from now on, until released; returns its facts with the defaults filled in."""
        whole = {**FAULTS[kind], **facts}
        with self._changed:
            self._active[kind, whole.get("model", "")] = whole
            self._changed.notify_all()
        return whole

    def release(self, kind: str | None = None, model: str | None = None) -> None:
        """End all faults, or those of one kind, or those of one kind and model."""
        with self._changed:
            for key in list(self._active):
                if kind in (None, key[0]) and model in (None, key[1]):
                    del self._active[key]
            self._changed.notify_all()

    def all(self) -> list[dict[str, Any]]:
        with self._changed:
            return [{"fault": kind, **facts} for (kind, _), facts in self._active.items()]

    def find(self, kind: str, model: str = "") -> Facts | None:
        """The fault of this kind that strikes `model`, or every model."""
        with self._changed:
            return self._active.get((kind, model)) or self._active.get((kind, ""))

    def wait_while(self, holds: Callable[[], bool], cancelled: Cancelled = lambda: False) -> None:
        """Wait as long as `holds` does."""
        with self._changed:
            while holds() and not cancelled():
                self._changed.wait(LOOK_S)

    def take_thread(self) -> None:
        """Wait for one of the threads that the fault `threads` leaves, and take it."""
        with self._changed:
            self.wait_while(self._no_thread)
            self._serving += 1

    def _no_thread(self) -> bool:
        limit = self.find("threads")
        return limit is not None and self._serving >= limit["count"]

    def give_thread_back(self) -> None:
        with self._changed:
            self._serving -= 1
            self._changed.notify_all()


def troubled(application: Application, faults: Faults) -> Application:
    """The application as it is reached through the faults: hanging, short of threads, losing its streams."""
    downloads = SimulatedDownloads()

    def answer(request: Request) -> Reply:
        faults.take_thread()
        reply: Reply | None = None
        try:
            faults.wait_while(lambda: _hangs(faults, request.path))
            reply = downloads.answer(request, faults.find("registry")) or application(request)
        finally:
            if not isinstance(reply, Stream):
                faults.give_thread_back()
        return _troubled_stream(reply, faults) if isinstance(reply, Stream) else reply

    return answer


def _hangs(faults: Faults, path: str) -> bool:
    hang = faults.find("hang")
    return hang is not None and (hang["what"] == "everything" or path.replace("/api/", "/") not in FREE)


def _troubled_stream(stream: Stream, faults: Faults) -> Stream:
    def close() -> None:
        stream.close()
        faults.give_thread_back()

    return Stream(_until_cut(stream.chunks, faults), close)


def _until_cut(chunks: Iterable[bytes], faults: Faults) -> Iterator[bytes]:
    """The stream's chunks; with the fault `cut` the connection is lost after so many, without a word."""
    for sent, chunk in enumerate(chunks):
        cut = faults.find("cut")
        if cut is not None and sent >= cut["after"]:
            raise ConnectionAbortedError("cut")
        yield chunk


class TroubledStarts:
    """Starts backends through the faults `slow` and `refuse`."""

    def __init__(self, starts: Starts, faults: Faults) -> None:
        self._starts, self._faults = starts, faults

    def start(self, name: str, arguments: list[str], timeout_s: float, cancelled: Cancelled, /) -> Backend:
        begun = time.monotonic()
        self._faults.wait_while(lambda: self._is_slow(name, begun), cancelled)
        refused = self._faults.find("refuse", name)
        if refused is not None:
            raise StartError(refused["error"])
        return self._starts.start(name, arguments, timeout_s, cancelled)

    def _is_slow(self, name: str, begun: float) -> bool:
        slow = self._faults.find("slow", name)
        return slow is not None and (slow["seconds"] is None or time.monotonic() - begun < slow["seconds"])
