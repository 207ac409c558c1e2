"""Starts Lemonade when a person asks for it, by the one right that hal0 has: the restart of its unit."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.services.ports import LemondUnit, States

KIND = "system.lemond_start"


class Starter:
    """`url` is where hal0 looks for lemond. systemd is asked through a subprocess, so only when somebody wants it."""

    def __init__(self, units: LemondUnit, store: States, clock: Clock, url: str) -> None:
        self._units, self._store, self._clock, self._url = units, store, clock, url

    def start(self, who: str) -> None:
        """Have systemd start lemond's unit, without waiting for the end of it.

        Raises `lemonade.not_started` with what to type where hal0 cannot, or may not.
        """
        if not _is_here(self._url):
            raise _not_started(f"Lemonade is on another machine, at {self._url}. Start it there")
        unit = self._units.unit()
        if not unit.name:
            raise _not_started(
                "systemd does not run Lemonade on this machine. Start it as you did before, for example: lemond"
            )
        problem = self._units.restart(unit)
        if problem:
            message = f"{unit.name} could not be started: {problem}. Type: sudo systemctl restart {unit.name}"
            self._tell(message, "error", who)
            raise _not_started(message)
        self._tell(f"{unit.name} is being started", "info", who)

    def _tell(self, message: str, level: str, who: str) -> None:
        self._store.write_journal([Entry(self._clock().wall, KIND, message, level, agent=who)])


def _not_started(message: str) -> errors.Hal0Error:
    return errors.error("lemonade.not_started", message)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
