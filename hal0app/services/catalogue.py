"""The models Lemonade knows, kept for a while: a dead or busy lemond never blocks a listing twice."""

from __future__ import annotations

import threading

from hal0app.core.clock import Clock
from hal0app.core.model import Model, read_model
from hal0app.errors import Hal0Error
from hal0app.services.ports import Lemonade

KEEP_S = 30.0


class Catalogue:
    """Downloaded models, read again after `KEEP_S` seconds or when one is missing."""

    def __init__(self, lemonade: Lemonade, clock: Clock) -> None:
        self._lemonade, self._clock = lemonade, clock
        self._reading = threading.Lock()
        self._models: dict[str, Model] = {}
        self._read_at = float("-inf")
        self._backends: dict[str, frozenset[str]] = {}

    def models(self) -> list[Model]:
        """The downloaded models; the last known ones while lemond does not answer."""
        with self._reading:
            if self._clock().tick - self._read_at > KEEP_S:
                try:
                    self._read()
                except Hal0Error:
                    self._read_at = self._clock().tick - KEEP_S + 2.0
            return list(self._models.values())

    def known(self) -> list[Model]:
        """The models as last read, without asking."""
        return list(self._models.values())

    def find(self, name: str) -> Model | None:
        """The model of this id, downloaded or not, asking lemond when it is not on the list; None when unknown.

        Raises LemonadeError when it cannot be told.
        """
        with self._reading:
            if name not in self._models or self._clock().tick - self._read_at > KEEP_S:
                self._read()
            if name in self._models:
                return self._models[name]
        row = self._lemonade.model(name)
        return None if row is None else read_model({"id": name, **row})

    def _read(self) -> None:
        rows = [read_model(row) for row in self._lemonade.models()]
        self._models = {model.id: model for model in rows if model.downloaded}
        self._read_at = self._clock().tick

    def installed_backends(self, recipe: str) -> frozenset[str]:
        """The usable backends of a recipe, read once; empty when lemond does not tell."""
        if not self._backends.get(recipe):
            try:
                self._backends[recipe] = self._lemonade.installed_backends(recipe)
            except Hal0Error:
                return frozenset()
        return self._backends[recipe]

    def forget(self) -> None:
        """Read everything anew on the next call."""
        self._read_at = float("-inf")
        self._backends.clear()
