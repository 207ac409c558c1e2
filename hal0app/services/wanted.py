"""lemond's configuration after a restart: where it is not what `[lemonade.want]` says, it is set again, once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hal0app.core.clock import Clock
from hal0app.core.config_drift import Difference, differences, restated
from hal0app.core.journal import Entry
from hal0app.core.residency import Link, Observation
from hal0app.errors import Hal0Error
from hal0app.services.ports import Configuration, States

log = logging.getLogger(__name__)


class Wanted:
    """`notice` is told every look and is quick; `put_right` talks to lemond, if one of them showed a restart.

    A change that somebody makes while lemond runs is left alone: drift tells it.
    """

    def __init__(self, lemonade: Configuration, store: States, clock: Clock, want: Mapping[str, Any]) -> None:
        self._lemonade, self._store, self._clock, self._want = lemonade, store, clock, want
        known = store.past(clock()).recorded
        self._link, self._boot = known.link, known.residency.boot
        self._due = False

    def notice(self, seen: Observation) -> None:
        """Remember whether lemond was started anew: another boot, or nothing there and then an answer."""
        if seen.fresh:
            reborn = None not in (self._boot, seen.boot) and self._boot != seen.boot
            self._due = self._due or reborn or self._link is Link.DOWN
            self._boot = seen.boot
        if seen.fresh or seen.link is Link.DOWN:
            self._link = seen.link

    def learn(self, want: Mapping[str, Any]) -> None:
        """hal0 wants this from now on."""
        self._want = want

    def put_right(self) -> None:
        """Set what differs. While lemond does not answer it stays due; what lemond refuses is told and given up."""
        if not self._due or not self._want:
            return
        self._due = False
        try:
            found = list(differences(self._want, self._lemonade.config()))
            if found:
                self._lemonade.set_config(restated(found))
                self._tell(found)
        except Hal0Error as problem:
            if problem.code == "lemonade.unavailable":
                self._due = True
                log.info("lemond's configuration is not compared yet: %s", problem)
            else:
                self._entry(f"lemond's configuration could not be set again: {problem.message}", "warning", {})

    def _tell(self, found: list[Difference]) -> None:
        each = ", ".join(f"{one.key} = {one.has!r}, set to {one.wanted!r} again" for one in found)
        self._entry(f"after its restart lemond had {each}", "info", {"reapplied": restated(found)})

    def _entry(self, message: str, level: str, data: Mapping[str, Any]) -> None:
        entry = Entry(self._clock().wall, "config.drift", message, level, source="keeper", data=dict(data))
        self._store.write_journal([entry])
