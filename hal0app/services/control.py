"""The jobs that make lemond load and unload: one at a time in each pool, joined by any number of callers.

Requests come through `lease`: it gives a lease on a resident model, or queues a load and waits. People come through
`load`, `unload` and `swap`. A load that only requests asked for ends when the last of them has left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.operation import Cause
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.acts import Acts
from hal0app.services.errand import Errand
from hal0app.services.jobs import Job, Jobs, stopping
from hal0app.services.leases import Lease, Leases, Ticket
from hal0app.services.observer import Observer
from hal0app.services.operations import new_id
from hal0app.services.ports import Client
from hal0app.services.swap import Swap, Swaps

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


class Control:
    """The jobs, and who waits for them. `acts` carries them out, `leases` knows who uses what."""

    def __init__(self, acts: Acts, leases: Leases, observer: Observer, clock: Clock) -> None:
        self._acts, self._leases, self._observer, self._clock = acts, leases, observer, clock
        self._swaps = Swaps(acts, leases, observer)
        self._jobs = Jobs(self._ended)

    # -- for requests

    def lease(self, want: Want, wait_s: float, client: Client) -> Lease:
        """A lease on the resident `want.model`, loading it first if it must be.

        Raises what the load raised, `slot.loading` after `wait_s` seconds, `client.gone` when the client left.
        """
        found = self._leases.take(self._observer.snapshot.residency.resident(want.model), want.model)
        if isinstance(found, Lease):
            return found
        try:
            job = self._load_job(want, Cause("request"), held=False)
        except Hal0Error:
            self._leases.withdraw(found)
            raise
        return self._wait(found, job, want, wait_s, client)

    def _wait(self, ticket: Ticket, job: Job, want: Want, wait_s: float, client: Client) -> Lease:
        gone = errors.error("client.gone", "the client closed its connection")
        forget = client.on_gone(partial(ticket.fail, gone))
        try:
            ticket.done.wait(wait_s)
        finally:
            forget()
        if ticket.lease is not None and ticket.error is None:
            return ticket.lease
        job.held = job.held or ticket.error is None  # who is told to come back still wants it
        self._leases.withdraw(ticket)
        self._acts.stir()
        raise ticket.error or errors.error(
            "slot.loading",
            f"'{want.name}' was not ready within {wait_s:g} s; its load is queued or under way, try again",
            retry_after=ETA_S,
        )

    # -- for people

    def load(self, want: Want, who: str) -> Job:
        """Start or join the load of `want`; a loading with other options than the slot's is replaced."""
        return self._load_job(want, Cause("operator", who))

    def unload(self, want: Want, who: str, kept_for: tuple[str, ...] = ()) -> Job:
        """Start or join the unload of `want`, which only is recorded when other slots need the model."""
        cause = Cause("operator", who)
        if kept_for:
            return self._submit(("keep", want.name), lambda job: self._keep(want, cause, kept_for, job.id), frozenset())
        return self._submit(("unload", want.model), partial(self._unload, want, cause), self._claims(want))

    def restart(self, want: Want, who: str) -> Job:
        """Start or join an unload and a load right after it."""
        work = partial(self._restart, want, Cause("operator", who))
        return self._submit(("restart", want.model), work, self._claims(want))

    def clear(self, want: Want, who: str) -> None:
        """Forget what speaks against the model."""
        self._acts.clear(want.model, want.name, Cause("operator", who))

    def restore(self, want: Want) -> Job:
        """Start or join a load that brings back what was lost."""
        return self._load_job(want, Cause("restore", "hal0"))

    def unload_idle(self, want: Want, minutes: int) -> Job:
        """Start or join the unload of a model that nobody used for `minutes`."""
        work = partial(self._unload, want, Cause("idle", "hal0"), idle_min=minutes)
        return self._submit(("unload", want.model), work, self._claims(want))

    def swap(self, want: Want, model: str, who: str, keep: Callable[[], None]) -> Job:
        """Replace the slot's model by `model`; `keep` makes the choice lasting and is called only after success."""
        assert want.slot is not None
        swap, cause = Swap(want.slot, want.model, model, keep), Cause("operator", who)
        claims = self._claims(want) | self._acts.claims(model, want.slot)
        return self._submit(
            ("swap", f"{want.name} {model}"),
            lambda job: self._swaps.carry_out(job.id, swap, self._errand(want, cause, job)),
            claims,
        )

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
        return self._jobs.enter(job, held, fits)

    def _submit(self, key: tuple[str, str], work: Callable[[Job], None], claims: frozenset[str]) -> Job:
        return self._jobs.enter(Job(key, work, claims))

    def run(self) -> None:
        """Carry out jobs until stopped."""
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
        for model in self._leases.wanted():
            slot = next((one for one in self._observer.snapshot.configs if one.model == model and one.enabled), None)
            self._load_job(Want(model, slot), Cause("request"), held=False)

    def stop(self) -> None:
        """End the jobs, those under way at their next wait; who still waits is told that hal0 stops."""
        self._jobs.stop()
        for model in self._leases.wanted():
            self._leases.refuse(model, stopping())
        self._acts.stir()

    # -- what a job does

    def _errand(self, want: Want, cause: Cause, job: Job) -> Errand:
        return Errand(cause, want.slot.wait_s if want.slot else self._acts.wait_s, lambda: self._check(job))

    def _check(self, job: Job) -> None:
        self._jobs.check(job, lambda: self._leases.waiting(job.key[1]) > 0)

    def _load(self, want: Want, cause: Cause, job: Job) -> None:
        resident = self._acts.load(job.id, want.model, want.slot, self._errand(want, cause, job))
        self._leases.grant(resident)

    def _unload(self, want: Want, cause: Cause, job: Job, **facts: int) -> None:
        slot = want.name if want.slot else None
        self._acts.unload(job.id, want.model, slot, self._errand(want, cause, job), **facts)

    def _keep(self, want: Want, cause: Cause, kept_for: tuple[str, ...], id_: str) -> None:
        self._acts.keep(id_, want.model, want.name, cause, kept_for)

    def _restart(self, want: Want, cause: Cause, job: Job) -> None:
        errand = self._errand(want, cause, job)
        self._acts.unload(new_id(), want.model, want.name if want.slot else None, errand)
        self._leases.grant(self._acts.load(job.id, want.model, want.slot, errand))
