"""The backends that Lemonade can run models with, and installing one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.download import Download
from hal0app.core.journal import Entry
from hal0app.errors import Hal0Error
from hal0app.services.downloads import Downloads
from hal0app.services.ports import Library, States

FACTS = ("state", "message", "action", "version", "devices")


class Backends:
    """Every call asks lemond: what it says depends on the machine as it is now."""

    def __init__(self, library: Library, downloads: Downloads, store: States, clock: Clock) -> None:
        self._library, self._downloads, self._store, self._clock = library, downloads, store, clock

    def all(self) -> list[dict[str, Any]]:
        """Every backend as `/api/backends` shows it, by recipe. Raises LemonadeError."""
        return [
            _row(recipe, name, facts, one)
            for recipe, facts in sorted(self._library.recipes().items())
            for name, one in sorted(facts.get("backends", {}).items())
        ]

    def install(self, recipe: str, backend: str, agent: str | None = None) -> Download | None:
        """Let lemond install a backend; None when it is there already.

        Raises `backend.unknown`, `backend.unsupported`, `backend.manual` (a person has to do it; details: action),
        `backend.install_failed`, `lemonade.unavailable`.
        """
        found = self._library.recipes().get(recipe, {}).get("backends", {}).get(backend)
        wanted = f"{recipe}:{backend}"
        if found is None:
            raise errors.error("backend.unknown", f"there is no backend '{wanted[:200]}'. See GET /api/backends")
        if found.get("state") == "installed":
            return None
        if found.get("state") == "unsupported":
            reason = found.get("message") or "Lemonade does not say why"
            raise errors.error("backend.unsupported", f"{wanted} cannot be installed on this machine: {reason}")
        try:
            return self._downloads.begin(f"backend:{wanted}", partial(self._start, recipe, backend), agent).latest
        except Hal0Error as problem:
            failed = _failed(problem, wanted)
            self._store.write_journal(
                [Entry(self._clock().wall, "backend.install", failed.message, "error", agent=agent)]
            )
            raise failed from problem

    def _start(self, recipe: str, backend: str) -> Mapping[str, Any]:
        answer = self._library.install(recipe, backend)
        if page := answer.get("action"):
            message = f"{recipe}:{backend} needs work on the host first, nothing was installed. Follow {page}"
            raise errors.error("backend.manual", message, action=page)
        return answer


def _row(recipe: str, name: str, facts: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: one.get(key) or None for key in FACTS}
    return {
        "id": f"{recipe}:{name}",
        "recipe": recipe,
        "backend": name,
        "display_name": facts.get("display_name") or recipe,
        "default": facts.get("default_backend") == name,
        **told,
    }


def _failed(problem: Hal0Error, wanted: str) -> Hal0Error:
    if problem.code != "lemonade.refused":
        return problem
    return errors.error("backend.install_failed", f"{wanted} was not installed: {problem.message}", **problem.details)
