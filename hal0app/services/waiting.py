"""How a request waits for its lease: until it has one, its client leaves or its time is up; a stream is told."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.operation import Kind
from hal0app.errors import Hal0Error
from hal0app.services.jobs import stopping
from hal0app.services.lease import Lease
from hal0app.services.leases import Leases
from hal0app.services.line import Ticket
from hal0app.services.observer import Observer
from hal0app.services.ports import Client

UNMEASURED_LOAD_S = 10


@dataclass(slots=True)
class Waits:
    """How long a request has waited for places and for loads, of the seconds that it may; its replay goes on there."""

    most_s: float
    queue_s: float = 0.0
    load_s: float = 0.0

    @property
    def left_s(self) -> float:
        """How long it may wait on."""
        return max(0.0, self.most_s - self.queue_s - self.load_s)

    def more(self, queue_s: float, load_s: float) -> None:
        """It has waited so much longer."""
        self.queue_s += queue_s
        self.load_s += load_s


class Waiting:
    """`heartbeat_s`: after how long, and how often, a streaming client is told that it waits."""

    def __init__(self, leases: Leases, observer: Observer, clock: Clock, heartbeat_s: float) -> None:
        self._leases, self._observer, self._clock, self._heartbeat_s = leases, observer, clock, heartbeat_s

    def wait(self, ticket: Ticket, name: str, wait_s: float, client: Client) -> Lease:
        """The lease. Raises the ticket's error, `slot.loading` after `wait_s` seconds, `client.gone`.

        `name` is what the client asked for.
        """
        gone = errors.error("client.gone", "the client closed its connection")
        forget = client.on_gone(lambda: ticket.fail(stopping() if client.dismissed else gone))
        late: Hal0Error | None = None
        try:
            if not self._ended(ticket, name, wait_s, client):
                late = self._late(ticket, name, wait_s)
        finally:
            forget()
        if ticket.lease is not None and ticket.error is None:
            return ticket.lease
        raise ticket.error or late or gone

    def _ended(self, ticket: Ticket, name: str, wait_s: float, client: Client) -> bool:
        """Whether the wait ended by itself within `wait_s`."""
        deadline = ticket.asked + wait_s
        quiet_s = max(self._heartbeat_s - client.silent_s, 0.0)
        beat = ticket.asked + quiet_s if ticket.caller.streams else deadline
        while not ticket.done.is_set():
            tick = self._clock().tick
            if tick >= deadline:
                return False
            if tick >= beat:
                client.heartbeat(self._words(ticket, name, tick))
                beat = tick + self._heartbeat_s
            ticket.done.wait(min(beat, deadline) - tick)
        return True

    def _words(self, ticket: Ticket, name: str, tick: float) -> str:
        if self._leases.serving(ticket.model):
            return f"hal0 queued {self._leases.position(ticket)}"
        return f"hal0 loading {name} {round(tick - ticket.asked)}s"

    def _late(self, ticket: Ticket, name: str, wait_s: float) -> Hal0Error:
        if self._leases.serving(ticket.model):
            message = f"'{name}' had no place free within {round(wait_s, 1):g} s; others were served before, try again"
            return errors.error("slot.loading", message, retry_after=self._leases.retry_s(ticket))
        message = f"'{name}' was not ready within {round(wait_s, 1):g} s; its load is queued or under way, try again"
        return errors.error("slot.loading", message, retry_after=self._load_s(ticket.model))

    def _load_s(self, model: str) -> int:
        """How long the model's load will take from now on, by the latest one, in whole seconds."""
        operations = [one for one in self._observer.snapshot.operations if one.model == model]
        loads: list[int] = [one.result["load_ms"] for one in operations if "load_ms" in one.result]
        begun = [one.started.tick for one in operations if one.running and one.kind is Kind.LOAD]
        if not loads:
            return UNMEASURED_LOAD_S
        under_way = self._clock().tick - begun[0] if begun else 0.0
        return max(1, round(loads[0] / 1000 - under_way))
