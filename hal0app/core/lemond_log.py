"""What lemond's log tells: who tried to load what, why it failed, and which models were evicted for it.

Lines as seen on 11.7.0 and 2026.39.1 (`/logs/stream`); a line that is not recognised says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

_LOADING = re.compile(r"\(\w+\) Loading model: (?P<model>\S+)")
_FAILED = re.compile(r"\(Router\) Backend load failed: (?P<cause>.+)")
_WIPING = re.compile(r"\(Router\) Load failed with non-file-not-found error, evicting all models")
_EVICTING = re.compile(r"\(Router\) Evicting model: (?P<model>\S+)")
_ENDED = re.compile(r"\(Router\) (?:Failed to load model|(?P<loaded>Model loaded successfully))")

_BACKEND_ERROR = re.compile(r"\[Error\] \((?:WrappedServer|LlamaCpp|BackendWatchdog|ProcessManager)\) (?P<text>.+)")

PREFIXES = ("extra.", "user.", "builtin.")


@dataclass(frozen=True)
class Wipe:
    """A failed load that made lemond evict every model. `trigger` is the model that could not be loaded."""

    trigger: str | None = None
    cause: str = "the load failed"
    victims: tuple[str, ...] = ()
    over: bool = False  # lemond has finished, with success or not
    loaded: bool = False  # it was loaded once everybody else was gone


@dataclass
class LogReader:
    """Follows the log line by line; `read` returns the wipe that a line tells of, as far as it is known."""

    loading: str | None = None
    cause: str = "the load failed"
    wipe: Wipe | None = None
    _rules: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Wipe | None]]] = field(init=False)

    def __post_init__(self) -> None:
        self._rules = [
            (_LOADING, self._begins),
            (_FAILED, self._fails),
            (_WIPING, self._wipes),
            (_EVICTING, self._evicts),
            (_ENDED, self._ends),
        ]

    def read(self, line: str) -> Wipe | None:
        """The wipe as far as it is known after `line`, when the line adds to it."""
        for pattern, act in self._rules:
            if found := pattern.search(line):
                return act(found)
        return None

    def _begins(self, found: re.Match[str]) -> None:
        self.loading = bare(found["model"])

    def _fails(self, found: re.Match[str]) -> None:
        self.cause = found["cause"].strip()

    def _wipes(self, _: re.Match[str]) -> Wipe:
        self.wipe = Wipe(self.loading, self.cause)
        return self.wipe

    def _evicts(self, found: re.Match[str]) -> Wipe | None:
        if self.wipe is not None:
            self.wipe = replace(self.wipe, victims=(*self.wipe.victims, bare(found["model"])))
        return self.wipe

    def _ends(self, found: re.Match[str]) -> Wipe | None:
        ended = replace(self.wipe, over=True, loaded=bool(found["loaded"])) if self.wipe else None
        self.wipe, self.cause = None, "the load failed"
        return ended


def bare(model: str) -> str:
    """The id as health has it: lemond's log puts the source before it."""
    for prefix in PREFIXES:
        if model.startswith(prefix):
            return model.removeprefix(prefix)
    return model


def backend_error(line: str) -> str | None:
    """What an error line says about a backend, without its head; None for every other line."""
    found = _BACKEND_ERROR.search(line)
    return found["text"].strip() if found else None
