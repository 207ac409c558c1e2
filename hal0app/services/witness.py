"""The witness: turns what lemond's log says into evidence, before the observer sees its effects."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from hal0app.core.clock import Clock
from hal0app.core.lemond_log import LogReader, Wipe, backend_error
from hal0app.core.operation import Evidence
from hal0app.services.ports import Log, States

log = logging.getLogger(__name__)

RETRY_S = 5.0
LAST_WORDS = 5


class Witness:
    """Follows lemond's log, again after every end. `on_wipe` is called when a wipe is over."""

    def __init__(self, stream: Log, store: States, clock: Clock) -> None:
        self._stream, self._store, self._clock = stream, store, clock
        self._stop = threading.Event()
        self._listeners: list[Callable[[Wipe], None]] = []
        self._hearers: list[Callable[[str], None]] = []
        self._complaints: deque[str] = deque(maxlen=LAST_WORDS)

    @property
    def present(self) -> bool:
        """Whether the log is being followed now, so that its silence means something."""
        return self._stream.connected

    def on_wipe(self, listener: Callable[[Wipe], None]) -> None:
        """Call `listener` with every wipe once lemond has finished it."""
        self._listeners.append(listener)

    def on_line(self, listener: Callable[[str], None]) -> None:
        """Call `listener` (quick, no IO) with every line."""
        self._hearers.append(listener)

    def last_words(self) -> list[str]:
        """The latest error lines about backends, without their time stamps."""
        return list(self._complaints)

    def run(self) -> None:
        """Follow until stopped."""
        while not self._stop.is_set():
            reader = LogReader()
            try:
                self._stream.follow(lambda line, reader=reader: self._hear(reader, line))  # type: ignore[misc]
            except Exception:
                log.exception("lemond's log could not be followed")
            self._stop.wait(RETRY_S)

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()
        self._stream.close()

    def _hear(self, reader: LogReader, line: str) -> None:
        for hear in self._hearers:
            hear(line)
        if (complaint := backend_error(line)) is not None:
            self._complaints.append(complaint)
        wipe = reader.read(line)
        if wipe is None:
            return
        if wipe.over:
            for listener in self._listeners:
                listener(wipe)
        elif wipe.victims:
            told = {"trigger": wipe.trigger, "cause": wipe.cause}
            self._store.save_evidence(Evidence(wipe.victims[-1], "wiped", self._clock(), told))
