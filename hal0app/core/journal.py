"""The journal: what changed and why, one entry per event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hal0app.core.clock import Moment
from hal0app.core.operation import Kind, Operation, Status
from hal0app.core.reasons import Reason
from hal0app.core.reconcile import Recorded, Transition
from hal0app.core.residency import Link, Observation
from hal0app.core.slot import State

LEVELS = ("info", "warning", "error")

# The kind of the entry that tells a transition to OFFLINE for this reason; all others are plain `slot.state`.
KIND_OF_REASON = {Reason.DISPLACED: "evict.displaced"}


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `ts` is Unix seconds (stored in ms), `source` the process that saw it."""

    ts: float
    kind: str
    message: str
    level: str = "info"
    source: str = "hal0"
    slot: str | None = None
    model: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    agent: str | None = None
    operation: str | None = None
    id: int | None = None


def of_transitions(transitions: Iterable[Transition], wall: float, source: str) -> list[Entry]:
    """An entry for every transition that moved a slot, but not for its very first record."""
    return [_of_transition(one, wall, source) for one in transitions if one.moved and one.before.version]


def _of_transition(change: Transition, wall: float, source: str) -> Entry:
    after = change.after
    offline = after.state is State.OFFLINE
    returned = change.before.state is State.STARTING and after.evictions == change.before.evictions
    return Entry(
        ts=wall,
        kind=KIND_OF_REASON.get(after.reason, "slot.state") if offline and not returned else "slot.state",
        message=f"{change.slot} is {after.state}" + (f": {after.message}" if after.message else ""),
        level="error" if after.state is State.ERROR else "info",
        source=source,
        slot=change.slot,
        model=after.model,
        data={
            "from": change.before.state,
            "to": after.state,
            "reason": after.reason,
            "displaced_by": after.displaced_by,
        },
    )


def of_link(previous: Recorded, seen: Observation, source: str) -> list[Entry]:
    """An entry when lemond fell silent or went away, answers again, or was started anew."""
    gone = previous.link.answers and not seen.link.answers
    back = previous.link is Link.DOWN and seen.link is Link.UP
    heard = previous.link is Link.SILENT and seen.link is Link.UP
    reborn = bool(seen.fresh and previous.residency.boot and seen.boot and previous.residency.boot != seen.boot)
    told = [
        (gone, "system.lemond_down", "lemond does not answer; states are kept and marked stale", "warning"),
        (heard and not reborn, "system.lemond_up", "lemond answers again", "info"),
        (back or reborn, "lemond.restart", "lemond answers again" if back else "lemond was restarted", "info"),
    ]
    return [Entry(seen.taken.wall, kind, text, level, source) for holds, kind, text, level in told if holds]


PAST = {
    Kind.LOAD: "loaded",
    Kind.UNLOAD: "unloaded",
    Kind.KEEP: "kept for other slots",
    Kind.CLEAR: "cleared of its failures",
    Kind.PULL: "downloaded",
}


# Whom a cause names when nobody gave a name.
NAMELESS = frozenset({"", "you", "hal0"})


def of_operation(operation: Operation, now: Moment, agent: str | None = None) -> Entry:
    """The entry that tells how an operation ended; without an `agent`, it is who asked for the operation."""
    who = operation.cause.who
    failed = operation.status is Status.FAILED
    given_up = operation.error_code in {"client.gone", "slot.load_cancelled"}
    verb = "was not" if given_up else "could not be" if failed else "was"
    why = (operation.error_message or "").removeprefix(f"'{operation.model}' {verb} {PAST[operation.kind]}: ")
    tail = f": {why}" if failed else f" ({operation.cause.reason})"
    return Entry(
        ts=now.wall,
        kind=f"slot.{operation.kind}",
        message=f"{operation.model} {verb} {PAST[operation.kind]}{tail}",
        level="error" if failed and not given_up else "info",
        slot=operation.slot,
        model=operation.model,
        data={"cause": operation.cause.as_json(), "code": operation.error_code, **operation.result},
        agent=agent or (None if who in NAMELESS else who),
        operation=operation.id,
    )
