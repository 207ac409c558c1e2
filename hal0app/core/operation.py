"""A load or an unload that hal0 itself has started: what, why, and how it went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hal0app.core.clock import Moment

ABANDONED_AFTER_S = 30.0


class Kind(StrEnum):
    """What an operation does to a model."""

    LOAD = "load"
    UNLOAD = "unload"
    KEEP = "keep"  # an unload that left the model for other slots
    CLEAR = "clear"  # a person wants an old failure forgotten
    PULL = "pull"  # lemond downloads it


class Status(StrEnum):
    """How far an operation has come."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Cause:
    """Why an operation was started: `reason` is the word of the slot table, `who` a person's or program's name."""

    reason: str = "request"
    who: str = ""
    model: str = ""  # the model it makes room for
    request: str = ""  # the id of the request that wanted it

    def as_json(self) -> dict[str, str]:
        return {"reason": self.reason, "who": self.who, "model": self.model, "request": self.request}


@dataclass(frozen=True)
class Operation:
    """One control act on lemond. `options` are the load options, so that a change of config outdates a failure."""

    id: str
    kind: Kind
    model: str
    slot: str | None
    cause: Cause
    started: Moment
    status: Status = Status.RUNNING
    owner: str = ""
    heartbeat: Moment | None = None
    finished: Moment | None = None
    error_code: str | None = None
    error_message: str | None = None
    options: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status is Status.RUNNING

    @property
    def completed(self) -> bool:
        """Whether it is a download that brought the whole model."""
        return self.kind is Kind.PULL and self.status is Status.DONE and self.result.get("status") == "completed"

    def alive(self, now: Moment) -> bool:
        """Whether somebody still works on it: an owner that died leaves a heartbeat that grows old."""
        seen = self.heartbeat or self.started
        return self.running and now.tick - seen.tick <= ABANDONED_AFTER_S


@dataclass(frozen=True)
class Evidence:
    """A proof of how a model left, seen by whoever had its connection (`crashed`), or told by lemond's log."""

    model: str
    kind: str
    seen: Moment
    data: dict[str, Any] = field(default_factory=dict)


def active(operations: Iterable[Operation], model: str | None, now: Moment) -> Operation | None:
    """The operation that hal0 is carrying out on this model now; a download is lemond's, and goes on beside it."""
    alive = (one for one in operations if one.model == model and one.alive(now))
    return next((one for one in alive if one.kind is not Kind.PULL), None)


def last_pull(operations: Iterable[Operation], model: str | None) -> Operation | None:
    """The latest download of this model, under way or over."""
    pulls = [one for one in operations if one.model == model and one.kind is Kind.PULL]
    return max(pulls, key=lambda one: one.started, default=None)


def last_finished(operations: Iterable[Operation], model: str | None) -> Operation | None:
    """The latest finished operation on this model."""
    ended = [one for one in operations if one.model == model and one.finished is not None]
    return max(ended, key=lambda one: one.finished or one.started, default=None)
