"""Models that requests name and that are not on this machine: downloaded by Lemonade's own jobs, which hal0 follows."""

from __future__ import annotations

from functools import partial

from hal0app import errors
from hal0app.core.residency import Link
from hal0app.services.downloads import Downloads, Followed
from hal0app.services.models import Models
from hal0app.services.observer import Observer
from hal0app.services.ports import Client
from hal0app.services.single_file import SingleFile

BEGIN_S = 20.0
LOOK_S = 2.0


class Pulls:
    """One download of a model for all who wait for it; it goes on when they have left."""

    def __init__(self, models: Models, downloads: Downloads, observer: Observer) -> None:
        self._models, self._downloads, self._observer = models, downloads, observer
        self._questions = SingleFile()

    def bring(self, model: str, agent: str, client: Client) -> Followed:
        """Have it downloaded and wait until that has ended, well or not, for as long as it takes while lemond is there.

        Raises `model.pull_failed`, `lemonade.unavailable`, `client.gone`, `system.stopping`.
        """
        followed = self._followed(model) or self._begun(model, agent, client)
        while not followed.over.wait(LOOK_S, client):
            if self._observer.snapshot.seen.link is Link.DOWN:
                message = f"Lemonade has gone while it downloaded '{model}', try again"
                raise errors.error("lemonade.unavailable", message, retry_after=5)
        return followed

    def words(self, model: str) -> str:
        """How far it is, for who waits."""
        followed = self._followed(model)
        percent = followed.latest.percent if followed is not None else None
        return f"hal0 downloading {model}" if percent is None else f"hal0 downloading {model} {percent:.0f}%"

    def _followed(self, model: str) -> Followed | None:
        return self._downloads.followed(f"model:{model}")

    def _begun(self, model: str, agent: str, client: Client) -> Followed:
        question = self._questions.put(model, partial(self._begin, model, agent), BEGIN_S, client)
        if not question.done.is_set():
            message = f"Lemonade does not begin to download '{model}': it loads, drains or hangs. Try again"
            raise errors.error("lemonade.unavailable", message, retry_after=5)
        followed: Followed = question.result()
        return followed

    def _begin(self, model: str, agent: str) -> Followed:
        return self._followed(model) or self._models.pull({"model_name": model}, agent or None)
