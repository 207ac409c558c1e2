"""The control worker: the one place from which lemond is told to load or unload, one act at a time.

Requests come through `lease`: it gives a lease on a resident model, or queues a load and waits. People come through
`load`, `unload` and `swap`. Any number of callers join one job per model.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.operation import Cause
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.acts import Acts
from hal0app.services.leases import Lease, Leases, Ticket
from hal0app.services.observer import Observer
from hal0app.services.ports import Client

log = logging.getLogger(__name__)

ETA_S = 10


@dataclass(frozen=True)
class Want:
    """A model that is to be resident, and the slot that wants it (none for the fallback).

    `shadow` is the slot that was asked for, when the NPU's chat slot serves it.
    """

    model: str
    slot: SlotConfig | None = None
    shadow: SlotConfig | None = None

    @property
    def asked(self) -> SlotConfig | None:
        """The slot that was asked for."""
        return self.shadow or self.slot

    @property
    def name(self) -> str:
        return self.asked.name if self.asked else self.model


@dataclass
class Job:
    """One thing for the worker to do; `done` is set with `error` None when it succeeded."""

    key: tuple[str, str]
    work: Callable[[str], None]  # is given the operation's id
    id: str
    done: threading.Event = field(default_factory=threading.Event)
    error: Hal0Error | None = None

    def wait(self, wait_s: float) -> bool:
        """Whether it ended within `wait_s` seconds; raises its error."""
        ended = self.done.wait(wait_s)
        if self.error is not None:
            raise self.error
        return ended


class Control:
    """Queue and worker. `acts` carries the jobs out, `leases` knows who uses what."""

    def __init__(self, acts: Acts, leases: Leases, observer: Observer, clock: Clock) -> None:
        self._acts, self._leases, self._observer, self._clock = acts, leases, observer, clock
        self._jobs: deque[Job] = deque()
        self._queued: dict[tuple[str, str], Job] = {}
        self._work = threading.Condition()
        self._stopping = False

    # -- for requests

    def lease(self, want: Want, wait_s: float, client: Client) -> Lease:
        """A lease on the resident `want.model`, loading it first if it must be.

        Raises what the load raised, `slot.loading` after `wait_s` seconds, `client.gone` when the client left.
        """
        found = self._leases.take(self._observer.snapshot.residency.resident(want.model), want.model)
        if isinstance(found, Lease):
            return found
        try:
            self._load_job(want, Cause("request"))
        except Hal0Error:
            self._leases.withdraw(found)
            raise
        return self._wait(found, want, wait_s, client)

    def _wait(self, ticket: Ticket, want: Want, wait_s: float, client: Client) -> Lease:
        gone = errors.error("client.gone", "the client closed its connection")
        forget = client.on_gone(partial(ticket.fail, gone))
        try:
            ticket.done.wait(wait_s)
        finally:
            forget()
        if ticket.lease is not None and ticket.error is None:
            return ticket.lease
        self._leases.withdraw(ticket)
        raise ticket.error or errors.error(
            "slot.loading",
            f"'{want.name}' was not ready within {wait_s:g} s; its load is queued or under way, try again",
            retry_after=ETA_S,
        )

    # -- for people

    def load(self, want: Want, who: str) -> Job:
        """Start or join the load of `want`."""
        return self._load_job(want, Cause("operator", who))

    def unload(self, want: Want, who: str, kept_for: tuple[str, ...] = ()) -> Job:
        """Start or join the unload of `want`, which only is recorded when other slots need the model."""
        cause = Cause("operator", who)
        if kept_for:
            keep = partial(self._keep, want, cause, kept_for)
            return self._submit(("keep", want.name), keep)
        return self._submit(("unload", want.model), partial(self._unload, want, cause))

    def restart(self, want: Want, who: str) -> Job:
        """Start or join an unload and a load right after it."""
        return self._submit(("restart", want.model), partial(self._restart, want, Cause("operator", who)))

    def clear(self, want: Want, who: str) -> None:
        """Forget what speaks against the model."""
        self._acts.clear(want.model, want.name, Cause("operator", who))

    def restore(self, want: Want) -> Job:
        """Start or join a load that brings back what was lost."""
        return self._load_job(want, Cause("restore", "hal0"))

    def unload_idle(self, want: Want, minutes: int) -> Job:
        """Start or join the unload of a model that nobody used for `minutes`."""
        work = partial(self._unload, want, Cause("idle", "hal0"), idle_min=minutes)
        return self._submit(("unload", want.model), work)

    def swap(self, want: Want, model: str, who: str, keep: Callable[[], None]) -> Job:
        """Replace the slot's model by `model`; `keep` makes the choice lasting and is called only after success."""
        return self._submit(
            ("swap", f"{want.name} {model}"), partial(self._swap, want, model, Cause("operator", who), keep)
        )

    def preview(self, want: Want, model: str) -> dict[str, object]:
        """What loading `model` into the slot of `want` would do; nothing is done."""
        assert want.slot is not None
        return self._acts.preview(model, want.slot, want.model if want.model != model else None)

    def _load_job(self, want: Want, cause: Cause) -> Job:
        return self._submit(("load", want.model), partial(self._load, want, cause))

    def _submit(self, key: tuple[str, str], work: Callable[[str], None]) -> Job:
        with self._work:
            if self._stopping:
                raise _stopping()
            job = self._queued.get(key)
            if job is None:
                job = Job(key, work, self._acts.new_id())
                self._queued[key] = job
                self._jobs.append(job)
                self._work.notify()
            return job

    # -- the worker

    def run(self) -> None:
        """Carry out jobs until stopped."""
        while (job := self._next()) is not None:
            try:
                job.work(job.id)
            except Hal0Error as problem:
                job.error = problem
            except Exception:
                log.exception("the job %s failed unexpectedly", job.key)
                job.error = errors.error("system.internal", "an unexpected fault; see hal0's log")
            finally:
                self._finish(job)

    def _next(self) -> Job | None:
        with self._work:
            while not self._jobs and not self._stopping:
                self._work.wait()
            return None if self._stopping else self._jobs.popleft()

    def _finish(self, job: Job) -> None:
        with self._work:
            self._queued.pop(job.key, None)
        kind, model = job.key
        if kind == "load" and job.error is not None:
            self._leases.refuse(model, job.error)
        job.done.set()
        if not self._stopping:
            self._load_what_is_wanted()

    def _load_what_is_wanted(self) -> None:
        """Queue a load for every model whose requests wait with no load under way (it left while they queued)."""
        for model in self._leases.wanted():
            slot = next((one for one in self._observer.snapshot.configs if one.model == model and one.enabled), None)
            self._load_job(Want(model, slot), Cause("request"))

    def stop(self) -> None:
        """End the worker after its current job; who still waits is told that hal0 stops."""
        with self._work:
            self._stopping = True
            left, self._jobs = list(self._jobs), deque()
            self._work.notify_all()
        for job in left:
            job.error = _stopping()
            job.done.set()
        for model in self._leases.wanted():
            self._leases.refuse(model, _stopping())

    # -- jobs

    def _load(self, want: Want, cause: Cause, id_: str) -> None:
        wait_s = want.slot.wait_s if want.slot else self._acts.wait_s
        resident = self._acts.load(id_, want.model, want.slot, cause, wait_s)
        self._leases.grant(resident)

    def _unload(self, want: Want, cause: Cause, id_: str, **facts: int) -> None:
        wait_s = want.slot.wait_s if want.slot else self._acts.wait_s
        self._acts.unload(id_, want.model, want.name if want.slot else None, cause, wait_s, **facts)

    def _keep(self, want: Want, cause: Cause, kept_for: tuple[str, ...], id_: str) -> None:
        self._acts.keep(id_, want.model, want.name, cause, kept_for)

    def _restart(self, want: Want, cause: Cause, id_: str) -> None:
        self._unload(want, cause, self._acts.new_id())
        self._load(want, cause, id_)

    def _swap(self, want: Want, model: str, cause: Cause, keep: Callable[[], None], id_: str) -> None:
        """Unload the old, load the new; when the new one fails, the old one comes back."""
        assert want.slot is not None
        slot, wait_s = want.slot, want.slot.wait_s
        self._acts.preflight(model, slot, replaced=want.model)
        held = bool(want.model) and self._observer.snapshot.residency.resident(want.model) is not None
        if held:
            unload = Cause("displaced", cause.who, model)
            self._acts.unload(self._acts.new_id(), want.model, slot.name, unload, wait_s)
        try:
            resident = self._acts.load(id_, model, slot, cause, wait_s)
        except Hal0Error:
            if held:
                self._leases.grant(self._acts.load(self._acts.new_id(), want.model, slot, Cause("restore"), wait_s))
            raise
        keep()
        self._observer.poke()
        self._leases.grant(resident)


def _stopping() -> Hal0Error:
    return errors.error("system.stopping", "hal0 is shutting down", retry_after=5)
