"""The jobs that make lemond load and unload: one at a time in each pool, joined by any number of callers.

Requests come through `lease`: it gives a lease on a resident model, or queues a load and waits. People come through
`load`, `unload` and `swap`. A load that only requests asked for ends when the last of them has left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.fair_queue import ANYONE, Caller
from hal0app.core.operation import Cause
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.acts import Acts
from hal0app.services.errand import Errand
from hal0app.services.jobs import Job, Jobs, stopping
from hal0app.services.lease import Lease
from hal0app.services.leases import DEFAULT, Leases, Terms
from hal0app.services.observer import Observer, Snapshot
from hal0app.services.operations import new_id
from hal0app.services.ports import Client
from hal0app.services.swap import Swap, Swaps
from hal0app.services.turn import NOBODY, Call
from hal0app.services.waiting import Waiting


class Want(msgspec.Struct, frozen=True):
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

    @property
    def terms(self) -> Terms:
        """The places and the queue of the slot, or the defaults of one."""
        return Terms(self.slot.max_in_flight, (self.asked or self.slot).queue) if self.slot else DEFAULT


def unheard(queue_s: float, load_s: float) -> None:
    """For a wait that nobody keeps a record of."""


class Control:
    """The jobs, and who waits for them. `acts` carries them out, `leases` knows who uses what."""

    def __init__(self, acts: Acts, leases: Leases, observer: Observer, clock: Clock, heartbeat_s: float = 5.0) -> None:
        self._acts, self._leases, self._observer = acts, leases, observer
        self._waiting = Waiting(leases, observer, clock, heartbeat_s)
        self._swaps = Swaps(acts, leases, observer)
        self._jobs = Jobs(self._ended, clock)
        self.standing = self._jobs.standing

    # -- for requests

    def lease(
        self,
        want: Want,
        wait_s: float,
        client: Client,
        caller: Caller = ANYONE,
        in_vain: Callable[[float, float], None] = unheard,
    ) -> Lease:
        """A lease on the resident `want.model`, after waiting for a place on it, or for its load, where it must be.

        `in_vain` is told how long a wait that got none was for a place and for a load, in seconds.

        Raises what the load raised, `slot.busy` when the queue is full, `slot.loading` after `wait_s` seconds,
        `client.gone` when the client left, `system.stopping` instead of a wait while hal0 stops.
        """
        resident = self._observer.snapshot.residency.resident(want.model)
        found = self._leases.take(resident, want.model, want.terms, caller)
        if isinstance(found, Lease):
            return found
        job: Job | None = None
        if self._jobs.stopping:  # who is accepted while hal0 stops has nothing to wait for
            self._leases.withdraw(found)
            raise stopping()
        try:
            if found.unloaded is not None:
                job = self._load_job(want, Cause("request", caller.agent, request=caller.request), held=False)
            return self._waiting.wait(found, want.name, wait_s, client)
        except BaseException as problem:
            if job is not None and isinstance(problem, Hal0Error) and problem.code == "slot.loading":
                job.held = True  # who is told to come back still wants it
            in_vain(*self._leases.withdraw(found))
            self._acts.stir()
            raise

    # -- for people

    def load(self, want: Want, who: str) -> Job:
        """Start or join the load of `want`; a loading with other options than the slot's is replaced."""
        return self._load_job(want, Cause("operator", who))

    def unload(self, want: Want, who: str, kept_for: tuple[str, ...] = ()) -> Job:
        """Start or join the unload of `want`, which only is recorded when other slots need the model."""
        cause = Cause("operator", who)
        if kept_for:
            keep = Job(("keep", want.name), partial(self._keep, want, cause, kept_for), frozenset(), about=want.model)
            return self._enter(keep, want, cause)
        return self._submit("unload", want, cause, partial(self._unload, want, cause))

    def restart(self, want: Want, who: str) -> Job:
        """Start or join an unload and a load right after it."""
        cause = Cause("operator", who)
        return self._submit("restart", want, cause, partial(self._restart, want, cause))

    def before(self, model: str) -> Call:
        """What the load of `model` waits for; NOBODY when none waits."""
        queued = self._jobs.before(("load", model))
        return queued if queued != NOBODY else self._acts.before(model)

    def swapping(self, slot: str, old: str) -> tuple[str, Call]:
        """The model that is to take the place of `old` in the slot, and what that waits for; empty and NOBODY."""
        model = self._jobs.about(("swap", slot))
        if not model:
            return "", NOBODY
        ahead = (self._jobs.before(("swap", slot)), self._acts.before(old), self._acts.before(model))
        return model, next((one for one in ahead if one != NOBODY), NOBODY)

    def cancel(self, want: Want, who: str) -> None:
        """End the load or the swap of `want` that waits for another one; the requests that wait for it are told so.

        Raises `slot.not_waiting` when it waits no more, or never did.
        """
        model, before = self.swapping(want.name, want.model)
        key, what = ("swap", want.name), f"the swap of '{want.name}' to '{model}'"
        if before == NOBODY:
            key, what, before = ("load", want.model), f"the load of '{want.model}'", self.before(want.model)
        why = errors.error("slot.load_cancelled", f"{what} was cancelled by {who}")
        if before == NOBODY or not self._jobs.cancel(key, why):
            raise errors.error("slot.not_waiting", f"no load of '{want.model}' waits for another one now")
        self._acts.stir()
        self._observer.poke()

    def clear(self, want: Want, who: str) -> None:
        """Forget what speaks against the model."""
        self._acts.clear(want.model, want.name, Cause("operator", who))

    def restore(self, want: Want) -> Job:
        """Start or join a load that brings back what was lost."""
        return self._load_job(want, Cause("restore", "hal0"))

    def unload_idle(self, want: Want, minutes: int) -> Job:
        """Start or join the unload of a model that nobody used for `minutes`."""
        cause = Cause("idle", "hal0")
        return self._submit("unload", want, cause, partial(self._unload, want, cause, idle_min=minutes))

    def swap(self, want: Want, model: str, who: str, keep: Callable[[], None]) -> Job:
        """Replace the slot's model by `model`; `keep` makes the choice lasting and is called only after success."""
        assert want.slot is not None
        swap, cause = Swap(want.slot, want.model, model, keep), Cause("operator", who)
        claims = self._claims(want) | self._acts.claims(model, want.slot)
        work = partial(self._swap, swap, want, cause)
        job = Job(("swap", want.name), work, claims, options=model, about=model)
        return self._enter(job, want, cause, fits=model)

    def preview(self, want: Want, model: str) -> dict[str, object]:
        """What loading `model` into the slot of `want` would do; nothing is done."""
        assert want.slot is not None
        return self._acts.preview(model, want.slot, want.model if want.model != model else None)

    # -- the jobs

    def _claims(self, want: Want) -> frozenset[str]:
        return self._acts.claims(want.model, want.slot)

    def _load_job(self, want: Want, cause: Cause, held: bool = True) -> Job:
        """One load of a model for all who want it; an operator's does not join one with other options than his."""
        options = options_key(want.slot) if want.slot else ""
        fits = None if cause.reason != "operator" else options
        job = Job(("load", want.model), partial(self._load, want, cause), self._claims(want), options=options)
        return self._enter(job, want, cause, held, fits)

    def _submit(self, what: str, want: Want, cause: Cause, work: Callable[[Job], None]) -> Job:
        return self._enter(Job((what, want.model), work, self._claims(want)), want, cause)

    def _enter(self, job: Job, want: Want, cause: Cause, held: bool = True, fits: str | None = None) -> Job:
        job.slot, job.cause = want.asked.name if want.asked else None, cause
        return self._jobs.enter(job, held, fits)

    def run(self) -> None:
        """Carry out jobs, and see that nobody waits in vain, until stopped."""
        self._observer.subscribe(self._look_after)
        self._jobs.run()

    def _ended(self, job: Job) -> None:
        kind, model = job.key
        if kind == "load" and job.error is not None and not job.given_up:
            self._leases.refuse(model, job.error)
        job.done.set()
        if not self._jobs.stopping:
            self._load_what_is_wanted()

    def _load_what_is_wanted(self) -> None:
        """Queue a load for every model whose requests wait with no load under way (it left while they queued)."""
        for model in self._leases.stranded():
            self._load_job(self._want(model), Cause("request"), held=False)

    def _look_after(self, snapshot: Snapshot) -> None:
        """Who waits for a model that somebody else loaded uses that; who waits for one that is gone gets a load."""
        if not snapshot.seen.fresh or self._jobs.stopping:
            return
        for model in self._leases.stranded():
            want, resident = self._want(model), snapshot.seen.resident(model)
            if resident is not None and self._leases.usable(resident):
                self._leases.offer(resident, want.terms)
            else:
                self._load_job(want, Cause("request"), held=False)

    def _want(self, model: str) -> Want:
        configs = self._observer.snapshot.configs
        return Want(model, next((one for one in configs if one.model == model and one.enabled), None))

    def stop(self) -> None:
        """End the jobs, those under way at their next wait; who still waits is told that hal0 stops."""
        self._jobs.stop()
        for model in self._leases.wanted():
            self._leases.refuse(model, stopping())
        self._acts.stir()

    # -- what a job does

    def _errand(self, want: Want, cause: Cause, job: Job) -> Errand:
        return Errand(
            cause,
            want.slot.wait_s if want.slot else self._acts.wait_s,
            check=lambda: self._check(job),
            gives_way=lambda: not (job.held or self._jobs.pressed(job)),
        )

    def _check(self, job: Job) -> None:
        self._jobs.check(job, lambda: self._leases.waiting(job.key[1]) > 0)

    def _load(self, want: Want, cause: Cause, job: Job) -> None:
        resident = self._acts.load(job.id, want.model, want.slot, self._errand(want, cause, job))
        self._leases.grant(resident, want.terms)

    def _swap(self, swap: Swap, want: Want, cause: Cause, job: Job) -> None:
        self._swaps.carry_out(job.id, swap, self._errand(want, cause, job))

    def _unload(self, want: Want, cause: Cause, job: Job, **facts: int) -> None:
        slot = want.name if want.slot else None
        self._acts.unload(job.id, want.model, slot, self._errand(want, cause, job), **facts)

    def _keep(self, want: Want, cause: Cause, kept_for: tuple[str, ...], job: Job) -> None:
        self._acts.keep(job.id, want.model, want.name, cause, kept_for)

    def _restart(self, want: Want, cause: Cause, job: Job) -> None:
        errand = self._errand(want, cause, job)
        self._acts.unload(new_id(), want.model, want.name if want.slot else None, errand)
        self._leases.grant(self._acts.load(job.id, want.model, want.slot, errand), want.terms)
