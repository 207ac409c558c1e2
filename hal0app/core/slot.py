"""The state machine of a slot. Everything about it lives here, as tables.

A state is derived, never set: `derive` takes what is wanted, what lemond was seen to hold and what hal0 is doing,
and returns the state with its reason. What is stored is the last derived `Record`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from hal0app.core import reasons
from hal0app.core.operation import Evidence, Kind, Operation, Status
from hal0app.core.reasons import CATALOGUE, Reason
from hal0app.core.residency import Resident
from hal0app.core.slot_config import SlotConfig


class State(StrEnum):
    """The states of a slot. `serving` and `idle` are the API's view on `ready`; `warming` is reserved."""

    OFFLINE = "offline"
    PULLING = "pulling"
    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    SERVING = "serving"
    IDLE = "idle"
    UNLOADING = "unloading"
    ERROR = "error"


S = State

# From each stored state, the states that a fresh look may find next.
TRANSITIONS: dict[State, frozenset[State]] = {
    S.OFFLINE: frozenset({S.PULLING, S.STARTING, S.READY, S.UNLOADING, S.ERROR}),
    S.PULLING: frozenset({S.OFFLINE, S.STARTING, S.READY, S.ERROR}),
    S.STARTING: frozenset({S.READY, S.OFFLINE, S.UNLOADING, S.ERROR}),
    S.READY: frozenset({S.OFFLINE, S.STARTING, S.UNLOADING, S.ERROR}),
    S.UNLOADING: frozenset({S.OFFLINE, S.READY, S.STARTING, S.ERROR}),
    S.ERROR: frozenset({S.OFFLINE, S.PULLING, S.STARTING, S.READY, S.UNLOADING}),
}

# States in which the slot's model was loaded or about to be, so that its absence is a departure with a reason.
UP = frozenset({S.STARTING, S.READY, S.UNLOADING})

# Reasons of an offline slot that hold only as long as what they name.
PASSING = frozenset({Reason.DISABLED, Reason.NO_MODEL, Reason.INVALID_CONFIG, Reason.NOT_DOWNLOADED})

# Reasons of an offline slot that say nothing of whether its model ever was loaded.
NEVER_UP = PASSING | {Reason.NEVER_LOADED}

# A failed load with one of these codes says nothing against the slot's model.
BLAMELESS = frozenset(
    {
        *("lemonade.unavailable", "lemonade.refused", "pool.all_pinned", "slot.loading", "client.gone"),
        "slot.load_cancelled",
        *("system.stopping", "system.internal", "system.interrupted"),
    }
)


NOT_HERE = (S.OFFLINE, Reason.NOT_DOWNLOADED)

# What the preflight refuses never reached lemond: a request may ask again, and is told the same or served.
FAILURES: dict[str, tuple[State, Reason]] = {
    "model.unknown": NOT_HERE,
    "model.not_downloaded": NOT_HERE,
    "model.other_name": (S.ERROR, Reason.REFUSED),
    "model.corrupt": (S.ERROR, Reason.REFUSED),
    "model.quarantined": (S.ERROR, Reason.REFUSED),
    "model.type_mismatch": (S.ERROR, Reason.REFUSED),
    "model.context_exceeded": (S.ERROR, Reason.REFUSED),
    "backend.not_installed": (S.ERROR, Reason.REFUSED),
    "args.reserved": (S.ERROR, Reason.REFUSED),
    "args.unknown": (S.ERROR, Reason.REFUSED),
    "memory.insufficient": (S.ERROR, Reason.REFUSED),
    "npu.busy": (S.ERROR, Reason.REFUSED),
}


@dataclass(frozen=True)
class Broken:
    """A slot whose file breaks the schema: visible, disabled, and nothing else suffers."""

    name: str
    problem: str


@dataclass(frozen=True)
class Record:
    """The last derived state of a slot, as stored. Times are Unix seconds; `version` grows with every change."""

    slot: str
    state: State = State.OFFLINE
    reason: Reason = Reason.NEVER_LOADED
    message: str = reasons.message(Reason.NEVER_LOADED)
    since: float = 0.0
    stale_since: float | None = None
    model: str | None = None
    displaced_by: str | None = None
    loads: int = 0
    evictions: int = 0
    version: int = 0


@dataclass(frozen=True)
class Verdict:
    """What a slot is, and why."""

    state: State
    reason: Reason = Reason.NONE
    message: str = ""
    displaced_by: str | None = None


@dataclass(frozen=True)
class Facts:
    """All that a verdict depends on."""

    slot: SlotConfig | Broken
    record: Record
    known: bool  # the observation is fresh and later than hal0's last act on this model
    resident: Resident | None = None
    active: Operation | None = None  # what hal0 is doing to the model now
    last: Operation | None = None  # the latest finished operation on it
    departure: Verdict | None = None  # why it left, if it did
    crash_loop: Evidence | None = None  # it crashed too often before it could answer
    pull: Operation | None = None  # lemond's download of it, under way or the latest that nothing has overtaken

    @property
    def failed(self) -> Operation | None:
        """The failed load that still speaks against this slot: same model, same options, nothing since."""
        last = self.last
        if isinstance(self.slot, Broken) or last is None or last.kind is not Kind.LOAD:
            return None
        blamed = last.status is Status.FAILED and last.error_code not in BLAMELESS
        return last if blamed and last.options == options_key(self.slot) and not self._was_up_since(last) else None

    def _was_up_since(self, last: Operation) -> bool:
        """Whether somebody else loaded the model after this failure, so that it is known to load."""
        record = self.record
        was_up = record.state is S.READY or (record.state is S.OFFLINE and record.reason not in NEVER_UP)
        return was_up and record.model == _model(self) and record.since > (last.finished or last.started).wall

    @property
    def here(self) -> bool:
        """Whether the slot was last known to have its model loaded or about to be."""
        return self.record.state in UP and self.record.model == _model(self)

    @property
    def unpulled(self) -> bool:
        """Whether a download of it failed, and no more is known against it than that it is not here."""
        failed = self.failed is not None and FAILURES.get(self.failed.error_code or "") != NOT_HERE
        return self.pull is not None and self.pull.error_code == "model.pull_failed" and not failed

    @property
    def latched(self) -> Evidence | None:
        """The crash loop that still speaks against this slot: it was with the same options."""
        loop = self.crash_loop
        if loop is None or isinstance(self.slot, Broken):
            return None
        return loop if loop.data.get("options") == options_key(self.slot) else None


def options_key(slot: SlotConfig) -> str:
    """The load options in one string, to tell whether a stored failure is about the same load."""
    return repr(slot.load_options)


def _verdict(state: State, reason: Reason = Reason.NONE, **facts: object) -> Verdict:
    return Verdict(state, reason, reasons.message(reason, **facts))


def _same(facts: Facts) -> Verdict:
    record = facts.record
    return Verdict(record.state, record.reason, record.message, record.displaced_by)


def _nothing_new(facts: Facts) -> bool:
    """lemond is silent, and what is recorded still is about this model."""
    record = facts.record
    overtaken = record.state not in UP and record.reason in PASSING
    return not facts.known and record.model == _model(facts) and not overtaken


def _broken(facts: Facts) -> bool:
    return isinstance(facts.slot, Broken)


def _off(facts: Facts) -> bool:
    return isinstance(facts.slot, SlotConfig) and not facts.slot.enabled


def _empty(facts: Facts) -> bool:
    return isinstance(facts.slot, SlotConfig) and facts.slot.model is None


def _doing(kind: Kind) -> Callable[[Facts], bool]:
    return lambda facts: facts.active is not None and facts.active.kind is kind


def _model(facts: Facts) -> str:
    return (facts.slot.model or "") if isinstance(facts.slot, SlotConfig) else ""


def _failure(facts: Facts) -> Verdict:
    code, cause = (facts.failed.error_code or "", facts.failed.error_message) if facts.failed else ("", "")
    cause = (cause or "").removeprefix(f"'{_model(facts)}' could not be loaded: ")  # the reason says so itself
    state, reason = FAILURES.get(code, (S.ERROR, Reason.LOAD_FAILED))
    return _verdict(state, reason, model=_model(facts), cause=cause)


def _pulling(facts: Facts) -> Verdict:
    return Verdict(S.PULLING, message=f"downloading {_model(facts)}")


def _unpulled(facts: Facts) -> Verdict:
    return _verdict(*NOT_HERE, cause=facts.pull.error_message if facts.pull else "")


def _looping(facts: Facts) -> Verdict:
    told = facts.latched.data if facts.latched else {}
    words = {key: told.get(key, "") for key in ("count", "minutes", "log")}
    return _verdict(S.ERROR, Reason.CRASH_LOOP, model=_model(facts), **words)


def _gone(facts: Facts) -> Verdict:
    return facts.departure or _verdict(S.OFFLINE, Reason.EVICTED)


def _still_offline(facts: Facts) -> Verdict:
    if facts.departure is not None:
        return facts.departure
    kept = facts.record.state is S.OFFLINE and facts.record.model == _model(facts)
    fitting = facts.record.reason not in PASSING
    return _same(facts) if kept and fitting else _verdict(S.OFFLINE, Reason.NEVER_LOADED)


@dataclass(frozen=True)
class Rule:
    """One line of the machine: in the first case that holds, the verdict."""

    case: str
    holds: Callable[[Facts], bool]
    verdict: Callable[[Facts], Verdict]


RULES: tuple[Rule, ...] = (
    Rule(
        "its file is not valid",
        _broken,
        lambda f: _verdict(S.ERROR, Reason.INVALID_CONFIG, cause=getattr(f.slot, "problem", "")),
    ),
    Rule("it is turned off", _off, lambda f: _verdict(S.OFFLINE, Reason.DISABLED)),
    Rule("it has no model", _empty, lambda f: _verdict(S.OFFLINE, Reason.NO_MODEL)),
    Rule("hal0 is loading it", _doing(Kind.LOAD), lambda f: Verdict(S.STARTING, message=f"loading {_model(f)}")),
    Rule("hal0 is unloading it", _doing(Kind.UNLOAD), lambda f: Verdict(S.UNLOADING, message="unloading")),
    Rule("it crashes again and again", lambda f: f.latched is not None, _looping),
    Rule("lemond is silent", _nothing_new, _same),
    Rule("lemond is silent about a new definition", lambda f: not f.known, _still_offline),
    Rule("it is resident", lambda f: f.resident is not None, lambda f: Verdict(S.READY)),
    Rule("it is being downloaded", lambda f: f.pull is not None and f.pull.running and not f.here, _pulling),
    Rule("its download failed", lambda f: f.unpulled and not f.here, _unpulled),
    Rule("its last load failed", lambda f: f.failed is not None, _failure),
    Rule("it was up and is gone", lambda f: f.here, _gone),
    Rule("it is offline", lambda f: True, _still_offline),
)


def derive(facts: Facts) -> Verdict:
    """The state of a slot: the verdict of the first rule that holds."""
    return next(rule.verdict(facts) for rule in RULES if rule.holds(facts))


def advance(record: Record, verdict: Verdict, model: str | None, stale_since: float | None, wall: float) -> Record:
    """The record after `verdict`: the same object when nothing changed, else a new one, one version later."""
    told = replace(
        record,
        state=verdict.state,
        reason=verdict.reason,
        message=verdict.message,
        displaced_by=verdict.displaced_by,
        model=model,
        stale_since=stale_since,
    )
    if told == record and record.version:
        return record
    moved = verdict.state is not record.state or verdict.reason is not record.reason or not record.version
    return replace(
        told,
        since=wall if moved else record.since,
        loads=record.loads + (verdict.state is S.READY and record.state not in {S.READY, S.UNLOADING}),
        evictions=record.evictions + (_left(record, verdict) and CATALOGUE[verdict.reason].lost),
        version=record.version + 1,
    )


def _left(record: Record, verdict: Verdict) -> bool:
    return verdict.state is S.OFFLINE and record.state in {S.READY, S.UNLOADING}


# What a person or program may ask of a slot, and the states in which it makes no sense, with the error code.
REFUSALS: dict[str, dict[Reason, str]] = {
    "load": {
        Reason.DISABLED: "slot.disabled",
        Reason.NO_MODEL: "slot.no_model",
        Reason.INVALID_CONFIG: "slot.invalid",
    },
    "serve": {
        Reason.DISABLED: "slot.disabled",
        Reason.NO_MODEL: "slot.no_model",
        Reason.INVALID_CONFIG: "slot.error",
        Reason.LOAD_FAILED: "slot.error",
        Reason.CRASH_LOOP: "slot.error",
    },
    "unload": {},
}


def guard(command: str, record: Record) -> str | None:
    """The error code with which `command` is refused in this state, or None when it may go ahead."""
    return REFUSALS[command].get(record.reason)
