"""Jobs that run side by side when they do not claim the same thing, and in the order they came when they do."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.operation import Cause
from hal0app.core.standing import KINDS, Standing
from hal0app.errors import Hal0Error
from hal0app.services.operations import new_id
from hal0app.services.turn import NOBODY, Call

log = logging.getLogger(__name__)

REMEMBERED = 256  # jobs that somebody has the id of, after their end

DOING = {"load": "loading", "unload": "unloading", "restart": "reloading", "swap": "swapping to"}


@dataclass(eq=False)
class Job:
    """One thing to do; `done` is set with `error` None when it succeeded.

    `held`: somebody besides waiting requests wants it. `given_up`: nobody did any more, so it ended. `cancelled`: the
    error with which a person ended it. `about` is its model, where the key does not end with that.
    """

    key: tuple[str, str]
    work: Callable[[Job], None]
    claims: frozenset[str]  # no two jobs that claim the same thing run at once
    id: str = field(default_factory=new_id)
    options: str = ""
    held: bool = False
    given_up: bool = False
    cancelled: Hal0Error | None = None
    about: str = ""
    slot: str | None = None
    cause: Cause = field(default_factory=Cause)
    started: float | None = None
    done: threading.Event = field(default_factory=threading.Event)
    error: Hal0Error | None = None

    @property
    def call(self) -> Call:
        """What it does, in words."""
        return Call(DOING.get(self.key[0], ""), self.about or self.key[1])

    def standing(self, status: str, finished: float | None = None) -> Standing:
        """How far it is; it keeps nothing of the job itself."""
        kind, cause = KINDS.get(self.key[0], self.key[0]), self.cause
        told = Standing(self.id, kind, self.call.model, self.slot, cause, status, self.started, finished)
        return told if self.error is None else replace(told, code=self.error.code, message=self.error.message)

    def wait(self, wait_s: float) -> bool:
        """Whether it ended within `wait_s` seconds; raises its error."""
        ended = self.done.wait(wait_s)
        if self.error is not None:
            raise self.error
        return ended


class Jobs:
    """Queued and running jobs. `ended` is told of each one before it gives its claims back; it sets `done`."""

    def __init__(self, ended: Callable[[Job], None], clock: Clock) -> None:
        self._told, self._clock = ended, clock
        self._queued: list[Job] = []
        self._running: list[Job] = []
        self._open: dict[tuple[str, str], Job] = {}  # the jobs that can be joined
        self._past: OrderedDict[str, Standing] = OrderedDict()  # by id, the oldest first
        self._changed = threading.Condition()
        self.stopping = False

    def enter(self, job: Job, held: bool = True, fits: str | None = None) -> Job:
        """Queue the job, or return the one it joins: of the same key and, where `fits` is given, with these options."""
        with self._changed:
            if self.stopping:
                raise stopping()
            there = self._open.get(job.key)
            if there is None or fits not in {None, there.options}:
                there = self._open[job.key] = job
                self._queued.append(job)
                self._changed.notify_all()
            there.held = there.held or held
            return there

    def check(self, job: Job, wanted: Callable[[], bool]) -> None:
        """Raise when hal0 stops, or when nobody holds the job and it is not `wanted`: it cannot be joined then."""
        with self._changed:
            if self.stopping:
                raise stopping()
            if job.cancelled is not None:
                raise job.cancelled
            if job.held or wanted():
                return
            job.given_up = True
            self._close(job)
        raise errors.error("client.gone", "nobody waits for it")

    def pressed(self, job: Job) -> bool:
        """Whether somebody who does not merely ask waits for what this job claims."""
        with self._changed:
            return any(one.held and one.claims & job.claims for one in self._queued)

    def before(self, key: tuple[str, str]) -> Call:
        """What the queued job of this key waits for first; NOBODY when none is queued, or nothing is in its way."""
        with self._changed:
            place = next((place for place, one in enumerate(self._queued) if one.key == key), None)
            if place is None:
                return NOBODY
            claims = self._queued[place].claims
            ahead = [*self._running, *self._queued[:place]]
            return next((one.call for one in ahead if one.claims & claims), NOBODY)

    def about(self, key: tuple[str, str]) -> str:
        """The model of the queued or running job of this key, the first of them; empty where there is none."""
        with self._changed:
            return next((one.call.model for one in (*self._running, *self._queued) if one.key == key), "")

    def standing(self, id_: str) -> Standing | None:
        """How far the job of this id is; None when there is none, or it ended long ago."""
        with self._changed:
            if id_ in self._past:
                return self._past[id_]
            if (queued := next((one for one in self._queued if one.id == id_), None)) is not None:
                return queued.standing("queued")
            running = next((one for one in self._running if one.id == id_), None)
            return running.standing("running") if running is not None else None

    def cancel(self, key: tuple[str, str], why: Hal0Error) -> bool:
        """End the job of this key with the error `why`: at once while it is queued, else at its next check.

        Whether there is one.
        """
        with self._changed:
            job = next((one for one in (*self._queued, *self._running) if one.key == key), None)
            if job is None:
                return False
            job.cancelled = why
            self._close(job)
            queued = job in self._queued
            if queued:
                self._queued.remove(job)
                job.error = why
        if queued:
            self._ended(job)
        return True

    def run(self) -> None:
        """Give every job a thread as soon as it may run. Returns when stopped and the last one has ended."""
        while (job := self._next()) is not None:
            threading.Thread(target=self._carry_out, args=(job,), name=f"hal0-{job.key[0]}", daemon=True).start()
        with self._changed:
            while self._running:
                self._changed.wait()

    def stop(self) -> None:
        """Begin no more; those that have not begun end with `system.stopping`."""
        with self._changed:
            self.stopping = True
            left, self._queued = self._queued, []
            self._changed.notify_all()
        for job in left:
            job.error = stopping()
            self._remember(job)
            job.done.set()

    def _next(self) -> Job | None:
        with self._changed:
            while not self.stopping:
                job = self._startable()
                if job is not None:
                    job.started = self._clock().wall
                    self._queued.remove(job)
                    self._running.append(job)
                    return job
                self._changed.wait()
            return None

    def _startable(self) -> Job | None:
        taken = frozenset[str]().union(*(job.claims for job in self._running))
        for job in self._queued:
            if not job.claims & taken:
                return job
            taken |= job.claims
        return None

    def _carry_out(self, job: Job) -> None:
        try:
            job.work(job)
        except Hal0Error as problem:
            job.error = problem
        except Exception:
            log.exception("the job %s failed unexpectedly", job.key)
            job.error = errors.error("system.internal", "an unexpected fault; see hal0's log")
        finally:
            self._end(job)

    def _end(self, job: Job) -> None:
        with self._changed:
            self._close(job)
        try:
            self._ended(job)
        finally:
            with self._changed:
                self._running.remove(job)
                self._changed.notify_all()

    def _ended(self, job: Job) -> None:
        self._remember(job)
        self._told(job)

    def _remember(self, job: Job) -> None:
        """Keep how it ended for those who were given its id; of a load that only requests wanted, nobody was."""
        if not job.held:
            return
        ended = job.standing("done" if job.error is None else "failed", self._clock().wall)
        with self._changed:
            self._past[job.id] = ended
            while len(self._past) > REMEMBERED:
                self._past.popitem(last=False)

    def _close(self, job: Job) -> None:
        if self._open.get(job.key) is job:
            del self._open[job.key]


def stopping() -> Hal0Error:
    """The error for whoever waits while hal0 shuts down."""
    return errors.error("system.stopping", "hal0 is shutting down", retry_after=5)
