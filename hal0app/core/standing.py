"""How far something is that somebody asked for and was given an id of: a load, an unload, a restart, a swap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hal0app.core.operation import Cause, Operation

# What a job ends with, as its operation calls it.
KINDS = {"restart": "load", "swap": "load"}


@dataclass(frozen=True)
class Standing:
    """`status` is queued, running, done or failed; times are Unix seconds, None where that has not come."""

    id: str
    kind: str
    model: str
    slot: str | None
    cause: Cause
    status: str
    started: float | None = None
    finished: float | None = None
    code: str | None = None
    message: str | None = None
    result: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "model": self.model,
            "slot": self.slot,
            "cause": self.cause.as_json(),
            "status": self.status,
            "started_at": self.started,
            "finished_at": self.finished,
            "error": {"code": self.code, "message": self.message} if self.code else None,
            "result": self.result,
        }


def of_operation(one: Operation) -> Standing:
    """What an act on lemond is known to be, from its record."""
    return Standing(
        one.id,
        one.kind,
        one.model,
        one.slot,
        one.cause,
        one.status,
        one.started.wall,
        one.finished.wall if one.finished else None,
        one.error_code,
        one.error_message,
        one.result,
    )


def joined(job: Standing | None, act: Operation | None) -> Standing | None:
    """What is known of an id: the job says how far it is and how it ended, its act on lemond, if it came to one, the
    rest. A swap is over when the choice is written down, not when the model is loaded."""
    if act is None or job is None:
        return of_operation(act) if act else job
    told = of_operation(act)
    return replace(told, status=job.status, finished=job.finished, code=job.code, message=job.message)
