"""lemond's own configuration: read in the background while somebody looks, changed by name, and read back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.lemond_config import BY_NAME, NEVER, at, nested
from hal0app.errors import Hal0Error
from hal0app.services.interest import Interest
from hal0app.services.ports import Configuration, States
from hal0app.services.settings import SettingsDesk

log = logging.getLogger(__name__)

PERIOD_S = 30.0
OLD_S = 3.0  # a reading older than this is renewed when somebody asks
FIRST_S = 0.3  # what a page waits for the first reading of all
WANT = "lemonade.want"


@dataclass(frozen=True)
class Reading:
    """One reading. `taken` is Unix seconds, None before the first that succeeded; `problem`: why there is none newer.

    `defaults` is empty where lemond does not tell them.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    taken: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Kept:
    """A key that lemond did not take as it was sent."""

    key: str
    wanted: Any
    has: Any


class LemondConfig:
    """`shown` waits for a first reading only; `watch` reads. `wanted` is told what hal0 wants from now on."""

    def __init__(
        self,
        lemonade: Configuration,
        desk: SettingsDesk,
        store: States,
        clock: Clock,
        wanted: Callable[[Mapping[str, Any]], None] = lambda want: None,
    ) -> None:
        self._lemonade, self._desk, self._store, self._clock, self._wanted = lemonade, desk, store, clock, wanted
        self.watch = Interest(clock, self.look, lambda: PERIOD_S)
        self._reading = Reading()
        self._known = threading.Event()
        self._looked_at = float("-inf")

    def shown(self, wait_s: float = FIRST_S) -> Reading:
        """What was last read; asking for it keeps the readings going."""
        self._ask()
        self._known.wait(wait_s)
        return self._reading

    @property
    def offline(self) -> bool:
        """Whether lemond was last seen not to download anything."""
        self._ask()
        return at(self._reading.values, "offline") is True

    def _ask(self) -> None:
        if self._clock().tick - self._looked_at > OLD_S:
            self.watch.wake()

    def look(self) -> None:
        """Read once."""
        self._looked_at = self._clock().tick
        try:
            values, defaults = self._lemonade.config(), self._lemonade.config_defaults()
            self._reading = Reading(values, defaults, self._clock().wall)
        except Hal0Error as problem:
            self._reading = replace(self._reading, problem=problem.message)
        except Exception:
            log.exception("lemond's configuration could not be read")
        self._known.set()

    # -- changes

    def change(self, changes: Mapping[str, Any], agent: str | None = None) -> list[Kept]:
        """Set dotted keys, all or none; what lemond did not take as sent, as read back.

        What `[lemonade.want]` has of them is changed with it, so that drift does not find fault with it. Raises
        `settings.invalid`, `settings.fixed`, `lemonade.unavailable`.
        """
        for key in changes:
            if key not in BY_NAME or BY_NAME[key].takes is NEVER:
                raise errors.error("settings.fixed", f"hal0 does not change Lemonade's '{key[:64]}'", param=key)
        try:
            self._lemonade.set_config(nested(changes))
        except Hal0Error as problem:
            raise _invalid(problem, changes) from problem
        self._want(changes, agent)
        text = f"Lemonade's settings were changed: {', '.join(changes)}"
        self._store.write_journal([Entry(self._clock().wall, "system.settings", text, agent=agent)])
        self.look()
        return [
            Kept(key, value, has) for key, value in changes.items() if (has := at(self._reading.values, key)) != value
        ]

    def want(self) -> dict[str, Any]:
        """What hal0 wants lemond's configuration to be. Raises `settings.invalid`."""
        found = next(one for one in self._desk.all() if one.key == WANT)
        return dict(found.value)

    def _want(self, changes: Mapping[str, Any], agent: str | None) -> None:
        known = self.want()
        mine = {key: value for key, value in changes.items() if at(known, key) is not None}
        if mine:
            self._desk.change({"lemonade": {"want": nested(mine)}}, agent)
            self._wanted(self.want())


def _invalid(problem: Hal0Error, changes: Mapping[str, Any]) -> Hal0Error:
    """lemond's refusal of a value as an error at that key; its silence stays what it is."""
    if problem.code != "lemonade.refused":
        return problem
    named = next((key for key in changes if f"'{key}'" in problem.message), None)
    return errors.error("settings.invalid", f"Lemonade refused it: {problem.message}", param=named)
