"""One look at lemond: `/live`, then `/v1/health`, with at most one health read outstanding.

A health read can hang for minutes while lemond drains a busy model, and every abandoned one holds one of lemond's
threads until even `/live` hangs (lemond-observed.md, surprise 1). So a read that is late is kept, not repeated.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hal0app.adapters import plain_http
from hal0app.core.clock import Clock, Moment
from hal0app.core.residency import Link, Observation, read_health

KEY_REFUSED = (401, 403)
GIVEN_UP_S = 300.0  # a read this old hangs on a connection that is lost, not on a lemond that is busy


class Probe:
    """Looks at the lemond at `url`; `timeout_s` bounds every look, `boot` tells lemond's starts apart."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        timeout_s: float = 2.0,
        key: str | None = None,
        boot: Callable[[], str | None] = lambda: None,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._clock, self._timeout_s, self._boot = clock, timeout_s, boot
        self._reader: _Reader | None = None

    def look(self) -> Observation:
        """What lemond holds: UP with the residency, else what `ping` says."""
        taken = self._clock()
        if self._reader is None:
            link = self.ping()
            if not link.answers:
                return Observation(taken, link)
            self._reader = _Reader(taken, self._read_health)
        if taken.tick - self._reader.taken.tick > GIVEN_UP_S:
            self._reader = _Reader(taken, self._read_health)
        reader = self._reader
        if not reader.done.wait(self._timeout_s):
            return Observation(taken, self.ping())
        self._reader = None
        return reader.observation

    def ping(self) -> Link:
        """BUSY when `/live` answers 200 within the timeout, DOWN when the connection is refused, else SILENT.

        Only a refusal proves that no lemond runs: a stopped or drowning one still has its port.
        """
        try:
            status, _ = self._get("/live", self._timeout_s)
        except ConnectionRefusedError:
            return Link.DOWN
        except (OSError, ValueError):
            return Link.SILENT
        return Link.BUSY if status == 200 else Link.SILENT

    def config(self) -> dict[str, Any] | None:
        """lemond's configuration (`/internal/config`), None when it does not tell it."""
        try:
            status, body = self._get("/internal/config", self._timeout_s)
            told = json.loads(body) if status == 200 else None
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def _read_health(self, taken: Moment) -> Observation:
        boot = self._boot()
        try:
            status, body = self._get("/v1/health", None)
            if status == 200:
                return read_health(taken, json.loads(body), boot)
            if status in KEY_REFUSED:
                return Observation(taken, Link.BUSY, locked_out=True)
        except ConnectionRefusedError:
            return Observation(taken, Link.DOWN)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return Observation(taken, Link.BUSY)

    def _get(self, path: str, timeout_s: float | None) -> tuple[int, bytes]:
        return plain_http.get(self._host, self._port, path, self._headers, timeout_s)


class _Reader:
    """A health read under way: `done` is set when `observation` is there."""

    def __init__(self, taken: Moment, read: Callable[[Moment], Observation]) -> None:
        self.done = threading.Event()
        self.observation = Observation(taken, Link.BUSY)
        self.taken, self._read = taken, read
        threading.Thread(target=self._run, name="hal0-health", daemon=True).start()

    def _run(self) -> None:
        try:
            self.observation = self._read(self.taken)
        finally:
            self.done.set()
