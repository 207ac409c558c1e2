"""Make the record true: from what is wanted, what was recorded and what lemond holds, the transitions.

Pure, and the only place where transitions come from: the API's observer and the drift checker both call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hal0app.core import reasons
from hal0app.core.clock import Moment
from hal0app.core.operation import Evidence, Kind, Operation, Status, active, last_finished, last_pull
from hal0app.core.reasons import Reason
from hal0app.core.residency import NOTHING_SEEN, Link, Observation, Resident
from hal0app.core.slot import UP, Broken, Facts, Record, State, Verdict, advance, derive
from hal0app.core.slot_config import SlotConfig

Slot = SlotConfig | Broken

JUDGING = frozenset({Kind.LOAD, Kind.CLEAR})  # what says whether the model can be loaded


@dataclass(frozen=True)
class Recorded:
    """What the store holds from before: records by slot name, the last known residency, the last look at lemond."""

    records: Mapping[str, Record] = field(default_factory=dict)
    residency: Observation = NOTHING_SEEN  # the last fresh observation, stored when the residency changes
    link: Link = Link.UP  # how lemond answered last
    link_since: float = 0.0  # Unix seconds


@dataclass(frozen=True)
class Past:
    """All that a reconciliation needs from the store."""

    recorded: Recorded = field(default_factory=Recorded)
    operations: tuple[Operation, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Transition:
    """One slot's record before and after."""

    slot: str
    before: Record
    after: Record

    @property
    def moved(self) -> bool:
        """Whether the state or its reason changed, rather than only the staleness."""
        return (self.before.state, self.before.reason) != (self.after.state, self.after.reason)


def reconcile(
    slots: Iterable[Slot],
    previous: Recorded,
    observation: Observation,
    operations: Sequence[Operation],
    now: Moment,
    evidence: Sequence[Evidence] = (),
) -> list[Transition]:
    """The transitions that make every slot's record agree with `observation`; none when all agree already."""
    transitions = []
    for slot in slots:
        before = previous.records.get(slot.name, Record(slot.name))
        facts = _facts(slot, before, previous, observation, operations, now, evidence)
        stale = None if observation.fresh else before.stale_since or now.wall
        after = advance(before, derive(facts), _model_of(slot), stale, now.wall)
        if after is not before:
            transitions.append(Transition(slot.name, before, after))
    return transitions


def _model_of(slot: Slot) -> str | None:
    return slot.model if isinstance(slot, SlotConfig) else None


def _facts(
    slot: Slot,
    record: Record,
    previous: Recorded,
    observation: Observation,
    operations: Sequence[Operation],
    now: Moment,
    evidence: Sequence[Evidence],
) -> Facts:
    model = _model_of(slot)
    ended = last_finished(operations, model)
    resident = observation.resident(model)
    known = observation.fresh and not (ended and ended.finished and ended.finished.tick > observation.taken.tick)
    last = last_finished([one for one in operations if one.kind in JUDGING or one.completed], model)
    loop = next((one for one in evidence if one.model == model and one.kind == "crash_loop"), None)
    acting, pull = active(operations, model, now), _pull(model, operations, last, now)
    facts = Facts(slot, record, known, resident, acting, last, crash_loop=loop, pull=pull)
    if not known or resident is not None or model is None or record.model != model:
        return facts
    if record.state in UP:
        return replace(facts, departure=_departure(model, record, previous, observation, operations, evidence))
    if record.reason is Reason.EVICTED:
        return replace(facts, departure=_learnt_later(model, record, operations))
    return facts


def _pull(model: str | None, operations: Sequence[Operation], last: Operation | None, now: Moment) -> Operation | None:
    """The model's latest download: under way, or failed and since then neither loaded nor cleared."""
    pull = last_pull(operations, model)
    if pull is None or pull.running:
        return pull if pull is not None and pull.alive(now) else None
    overtaken = last is not None and last.status is Status.DONE and _ended(last) >= _ended(pull)
    return None if overtaken else pull


def _ended(operation: Operation) -> float:
    return operation.finished.tick if operation.finished else operation.started.tick


def _departure(
    model: str,
    record: Record,
    previous: Recorded,
    observation: Observation,
    operations: Sequence[Operation],
    evidence: Sequence[Evidence],
) -> Verdict:
    """Why `model` left between the last known residency and this one; `evicted` where there is no proof of more."""
    since = previous.residency.taken
    for claim in (
        _by_hal0(model, operations, since),
        _by_restart(previous, observation),
        _by_crash(model, evidence, since),
        _by_wipe(model, evidence, operations, since),
        _by_arrival(model, previous.residency, observation),
    ):
        if claim is not None:
            return claim
    if record.state is State.STARTING and previous.residency.resident(model) is None:
        before = _as_before(record.slot, model, operations)
        return before or _offline(Reason.EVICTED if record.loads else Reason.NEVER_LOADED)
    return _offline(Reason.EVICTED)


def _as_before(slot: str, model: str, operations: Sequence[Operation]) -> Verdict | None:
    """What the slot was before a load that ended without having been tried."""
    last = last_finished([one for one in operations if one.kind is Kind.LOAD], model)
    told = last.result.get("before", {}).get(slot) if last is not None else None
    return told and Verdict(State.OFFLINE, Reason(told["reason"]), told["message"], told["displaced_by"])


def _learnt_later(model: str, record: Record, operations: Sequence[Operation]) -> Verdict | None:
    """The wipe in which the model went, told only when the load that caused it had failed: our own load's end."""
    for one in operations:
        around = one.finished is not None and one.started.wall <= record.since <= one.finished.wall
        if around and one.status is Status.FAILED and model in one.result.get("victims", ()):
            return _offline(Reason.NUCLEAR, model=one.model, cause=one.error_message)
    return None


def _offline(reason: Reason, displaced_by: str | None = None, **facts: object) -> Verdict:
    return Verdict(State.OFFLINE, reason, reasons.message(reason, **facts), displaced_by)


def _by_hal0(model: str, operations: Sequence[Operation], since: Moment) -> Verdict | None:
    last = last_finished([one for one in operations if one.kind is Kind.UNLOAD], model)
    if last is None or last.status is not Status.DONE or not last.finished or last.finished.tick <= since.tick:
        return None
    if last.cause.reason == Reason.DISPLACED:
        return _offline(Reason.DISPLACED, last.cause.model, model=last.cause.model)
    if last.cause.reason == Reason.SWAPPED:
        return _offline(Reason.SWAPPED, who=last.cause.who or "hal0", model=last.cause.model)
    if last.cause.reason == Reason.IDLE:
        return _offline(Reason.IDLE, n=last.result.get("idle_min", "some"))
    return _offline(Reason.OPERATOR, who=last.cause.who or "hal0")


def _by_crash(model: str, evidence: Sequence[Evidence], since: Moment) -> Verdict | None:
    proven = any(one.model == model and one.kind == "crashed" and one.seen.tick > since.tick for one in evidence)
    return _offline(Reason.CRASHED) if proven else None


def _by_wipe(
    model: str, evidence: Sequence[Evidence], operations: Sequence[Operation], since: Moment
) -> Verdict | None:
    """Nuclear: lemond's log named the load that took it away, or a load of ours failed and took it away."""
    for proof in evidence:
        if proof.model == model and proof.kind == "wiped" and proof.seen.tick > since.tick:
            return _offline(Reason.NUCLEAR, model=proof.data.get("trigger"), cause=proof.data.get("cause"))
    for one in operations:
        wiped = one.kind is Kind.LOAD and one.status is Status.FAILED and model in one.result.get("victims", ())
        if wiped and one.finished and one.finished.tick > since.tick:
            return _offline(Reason.NUCLEAR, model=one.model, cause=one.error_message)
    return None


def _by_restart(previous: Recorded, observation: Observation) -> Verdict | None:
    before, after = previous.residency.boot, observation.boot
    reborn = before is not None and after is not None and before != after
    refused = previous.link is Link.DOWN and not observation.residents
    return _offline(Reason.LEMOND_RESTARTED) if reborn or refused else None


def _by_arrival(model: str, residency: Observation, observation: Observation) -> Verdict | None:
    """Displaced: one observation shows it gone and exactly its pool has a newcomer."""
    left = residency.resident(model)
    if left is None:
        return None
    arrived = [one for one in observation.residents if _same_pool(one, left) and not residency.resident(one.model)]
    return _offline(Reason.DISPLACED, arrived[0].model, model=arrived[0].model) if arrived else None


def _same_pool(one: Resident, other: Resident) -> bool:
    return (one.type, one.pool) == (other.type, other.pool)
