"""The models Lemonade knows, as last listed. A lemond that hangs or is gone delays nobody who names a known one."""

from __future__ import annotations

from functools import partial
from typing import Any

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.model import Model, read_model
from hal0app.errors import Hal0Error
from hal0app.services.ports import Client, Lemonade
from hal0app.services.single_file import SingleFile

KEEP_S = 30.0
AGAIN_S = 2.0  # after a reading that failed, longer after one that took longer
PATIENCE_S = 1.0  # for a fresher list, while there is an older one to give
FIND_S = 5.0  # for a name that is on no list
MOST_NAMES = 1000
LIST = object()


class Catalogue:
    """Downloaded models, listed again after `KEEP_S` seconds, after `forget`, or when one is missing."""

    def __init__(
        self, lemonade: Lemonade, clock: Clock, patience_s: float = PATIENCE_S, find_s: float = FIND_S
    ) -> None:
        self._lemonade, self._clock = lemonade, clock
        self._patience_s, self._find_s = patience_s, find_s
        self._questions = SingleFile()
        self._models: dict[str, Model] = {}
        self._listed_as: dict[str, str] = {}  # other names of theirs that lemond knew -> the listed ones
        self._read_at = self._not_before = float("-inf")
        self._forgotten = 0
        self._backends: dict[str, frozenset[str]] = {}

    def models(self) -> list[Model]:
        """The downloaded models; the last known ones while lemond does not answer, for which nobody waits long."""
        if self._due():
            wait_s = 0.0 if self._questions.open(LIST) and self._models else self._patience_s
            self._questions.put(LIST, self._read, wait_s)
        return list(self._models.values())

    def known(self) -> list[Model]:
        """The models as last read, without asking."""
        return list(self._models.values())

    def knows(self, name: str) -> bool:
        """Whether a model of this id is downloaded, as last read."""
        return name in self._models

    def find(self, name: str, client: Client | None = None) -> Model | None:
        """The model of this id, downloaded or not; lemond is asked when it is not on the list. None when unknown.

        Lemonade knows some by other names, too, as `user.X`: the model's own id is the listed one.

        Raises LemonadeError when it cannot be told, `lemonade.unavailable` after `FIND_S` seconds, `client.gone` or
        `system.stopping` when the `client` that asks leaves.
        """
        known = self._models.get(name) or self._models.get(self._listed_as.get(name, ""))
        if known is not None:
            if self._due():
                self._questions.put(LIST, self._read, 0.0)
            return known
        if self._old():
            self._asked(LIST, self._read, client)
            if name in self._models:
                return self._models[name]
        row = self._asked(name, partial(self._lemonade.model, name), client)
        if row is None:
            return None
        found = read_model({"id": name, **row})
        if found.downloaded:
            self._models = {**self._models, found.id: found}
            if found.id != name and len(self._listed_as) < MOST_NAMES:
                self._listed_as[name] = found.id
        return found

    def _asked(self, key: object, ask: Any, client: Client | None) -> Any:
        question = self._questions.put(key, ask, self._find_s, client)
        if not question.done.is_set():
            message = "Lemonade does not tell which models it has: it loads, drains or hangs. Try again"
            raise errors.error("lemonade.unavailable", message, retry_after=5)
        return question.result()

    def _old(self) -> bool:
        return self._clock().tick - self._read_at > KEEP_S

    def _due(self) -> bool:
        return self._old() and self._clock().tick >= self._not_before

    def _read(self) -> None:
        asked, forgotten = self._clock().tick, self._forgotten
        try:
            rows = [read_model(row) for row in self._lemonade.models()]
        except Hal0Error:
            now = self._clock().tick
            self._not_before = now + max(AGAIN_S, now - asked)
            raise
        self._models = {model.id: model for model in rows if model.downloaded}
        if forgotten == self._forgotten:
            self._read_at = asked

    def installed_backends(self, recipe: str) -> frozenset[str]:
        """The usable backends of a recipe, read once; empty when lemond does not tell."""
        if not self._backends.get(recipe):
            try:
                self._backends[recipe] = self._lemonade.installed_backends(recipe)
            except Hal0Error:
                return frozenset()
        return self._backends[recipe]

    def forget(self, model: str | None = None) -> None:
        """Read everything anew on the next call; `model` is known to be gone."""
        self._models = {name: one for name, one in self._models.items() if name != model}
        self._listed_as.clear()
        self._forgotten += 1
        self._read_at = self._not_before = float("-inf")
        self._backends.clear()
