"""The downloads that lemond carries out for us: listed, paused, resumed, cancelled, and followed to their end.

lemond forgets a finished download after 30 s and all of them when it restarts; the journal keeps how each one ended.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.download import Download, read_download, told_end
from hal0app.core.journal import Entry
from hal0app.core.operation import Cause, Kind, Operation, Status
from hal0app.errors import Hal0Error
from hal0app.services.bell import Bell
from hal0app.services.catalogue import Catalogue
from hal0app.services.ports import Library, States

log = logging.getLogger(__name__)

PERIOD_S = 1.0
HEARTBEAT_S = 5.0
Start = Callable[[], Mapping[str, Any]]


@dataclass(eq=False)
class Followed:
    """A download until its end. `latest` is how it was last listed, `told` in words how it ended, once it is `over`."""

    latest: Download
    told: str = ""
    over: Bell = field(default_factory=Bell)


class Downloads:
    """Starts nothing by itself: `begin` is given the call that does. `run` follows what is under way."""

    def __init__(
        self, library: Library, catalogue: Catalogue, store: States, clock: Clock, period_s: float = PERIOD_S
    ) -> None:
        self._library, self._catalogue, self._store, self._clock = library, catalogue, store, clock
        self._period_s = period_s
        self._followed: dict[str, Followed] = {}
        self._pulls: dict[str, Operation] = {}
        self._starts: dict[str, Start] = {}
        self._news = threading.Event()
        self._stopping = False

    def all(self) -> list[Download]:
        """What lemond lists now. Raises LemonadeError."""
        return [read_download(row) for row in self._library.downloads()]

    def begin(self, id_: str, start: Start, agent: str | None) -> Followed:
        """Start the download `id_` with `start` (lemond's answer: its row), journal and follow it."""
        row = start()
        begun = read_download({"id": id_, "running": True, **row})
        self._starts[begun.id] = start
        self._tell(begun, "info", f"the download of {begun.name} started", agent)
        followed = self._follow(begun, agent)
        self._news.set()
        return followed

    def followed(self, id_: str) -> Followed | None:
        """The download that is under way, without asking."""
        return self._followed.get(id_)

    def pause(self, id_: str, agent: str | None) -> None:
        """Stop it and keep what is there. Raises `download.not_found`, LemonadeError."""
        self._control(id_, "pause")

    def cancel(self, id_: str, agent: str | None) -> None:
        """Stop it. Raises `download.not_found`, LemonadeError."""
        self._control(id_, "cancel")

    def resume(self, id_: str, agent: str | None) -> None:
        """Start it again, which for lemond is to go on. Raises `download.not_found`, LemonadeError."""
        start = self._starts.get(id_) or self._start_of(id_)
        self.begin(id_, start, agent)

    def discard(self, id_: str, agent: str | None) -> None:
        """Delete what a stopped download of a model left on the disk, and forget it.

        Raises `download.not_found`, `download.not_stopped`, LemonadeError.
        """
        found = next((one for one in self.all() if one.id == id_), None)
        if found is None or found.type != "model":
            raise _not_found(id_)
        if found.running or (self._library.model(found.name) or {}).get("downloaded"):
            how = "is running: stop it first" if found.running else "is complete: delete the model instead"
            raise errors.error("download.not_stopped", f"the download of {found.name} {how}")
        self._library.delete(found.name)
        self._library.control_download(id_, "remove")
        self._catalogue.forget(found.name)
        self._tell(found, "info", f"the part of {found.name} that was downloaded was deleted", agent)

    def under_way(self) -> bool:
        """Whether a download is followed now, without asking."""
        return bool(self._followed)

    def _control(self, id_: str, action: str) -> None:
        if not self._library.control_download(id_, action):
            raise _not_found(id_)
        self._news.set()

    def _start_of(self, id_: str) -> Start:
        """How to go on with a download that this process did not start."""
        if id_ not in {one.id for one in self.all()}:
            raise _not_found(id_)
        kind, _, name = id_.partition(":")
        if kind == "backend":
            recipe, _, backend = name.partition(":")
            return lambda: self._library.install(recipe, backend)
        return lambda: self._library.pull({"model_name": name})

    # -- following

    def run(self) -> None:
        """Look every period while a download is under way, else wait for one; until stopped."""
        self._look(adopt=True)
        while not self._stopping:
            self._news.wait(self._period_s if self._followed else None)
            self._news.clear()
            self._look()

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._news.set()

    def _look(self, adopt: bool = False) -> None:
        before = [(one, one.latest) for one in list(self._followed.values())]
        try:
            listed = {one.id: one for one in self.all()}
        except Hal0Error:
            return
        except Exception:
            log.exception("lemond's downloads could not be read")
            return
        if adopt:
            for one in listed.values():
                if one.running:
                    self._follow(one)
        for known, latest in before:
            if known.latest is not latest:
                continue  # it was begun again, which the list may not know
            now = listed.get(latest.id)
            known.latest = now or latest
            if now is None or not now.running:
                self._ended(known, listed=now is not None)
            else:
                self._beat(latest.id)

    def _ended(self, known: Followed, listed: bool) -> None:
        one = known.latest
        self._followed.pop(one.id, None)
        self._catalogue.forget()
        level, known.told = told_end(one, listed)
        try:
            self._record_end(one, listed, known.told)
            self._tell(one, level, known.told)
        finally:
            known.over.set()

    # -- what slots see of it

    def _follow(self, one: Download, agent: str | None = None) -> Followed:
        """Follow it, with an operation in the store for as long: so every process knows which models are pulled."""
        followed = self._followed.setdefault(one.id, Followed(one))
        followed.latest = one
        if one.type != "model" or one.id in self._pulls:
            return followed
        now = self._clock()
        id_, cause = uuid.uuid4().hex[:16], Cause("pull", agent or "")
        pull = Operation(id_, Kind.PULL, one.name, None, cause, now, heartbeat=now, owner="api")
        self._pulls[one.id] = pull
        self._store.save_operation(pull)
        return followed

    def _beat(self, id_: str) -> None:
        pull, now = self._pulls.get(id_), self._clock()
        if pull is not None and pull.heartbeat is not None and now.tick - pull.heartbeat.tick >= HEARTBEAT_S:
            self._pulls[id_] = replace(pull, heartbeat=now)
            self._store.heartbeat(pull.id, now)

    def _record_end(self, one: Download, listed: bool, message: str) -> None:
        pull = self._pulls.pop(one.id, None)
        if pull is None:
            return
        now, failed = self._clock(), listed and one.status == "error"
        ended = replace(pull, status=Status.DONE, finished=now, result={"status": one.status if listed else "unknown"})
        if failed:
            ended = replace(ended, status=Status.FAILED, error_code="model.pull_failed", error_message=message)
        self._store.save_operation(ended)

    def _tell(self, one: Download, level: str, message: str, agent: str | None = None) -> None:
        model = one.name if one.type == "model" else None
        data = {"download": one.id, "status": one.status}
        entry = Entry(self._clock().wall, one.kind, message, level, model=model, data=data, agent=agent)
        self._store.write_journal([entry])


def _not_found(id_: str) -> Hal0Error:
    return errors.error("download.not_found", f"there is no download '{id_[:200]}'. See GET /api/downloads")
