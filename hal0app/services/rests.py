"""What hal0 tried by itself and failed at rests for a while, longer with every failure in a row."""

from __future__ import annotations

from dataclasses import dataclass

from hal0app.core.keeping import Restore, Task, model_of
from hal0app.core.operation import Kind
from hal0app.core.pause import pause_s
from hal0app.core.slot_config import SlotConfig
from hal0app.services.observer import Snapshot


@dataclass(frozen=True)
class _Rest:
    failures: int
    tick: float  # of the last one
    slot: SlotConfig | None  # for which it was tried


class Rests:
    """By kind of task and model, for two slots that share a model want the same load."""

    def __init__(self) -> None:
        self._rests: dict[tuple[type[Task], str], _Rest] = {}

    def over(self, task: Task, tick: float) -> bool:
        """Whether the task may be tried."""
        rest = self._rests.get(_key(task))
        return rest is None or tick >= rest.tick + pause_s(rest.failures)

    def failed(self, task: Task, tick: float) -> None:
        """Let it rest."""
        before = self._rests.get(_key(task))
        slot = task.slot if isinstance(task, Restore) else None
        self._rests[_key(task)] = _Rest(before.failures + 1 if before else 1, tick, slot)

    def done(self, task: Task) -> None:
        """The next failure is the first again."""
        self._rests.pop(_key(task), None)

    def forgive(self, snapshot: Snapshot) -> None:
        """Restores need not rest once the model was seen loaded, its slot changed, or a person cleared it."""
        for (kind, model), rest in list(self._rests.items()):
            reasons = (_works(model, rest, snapshot), _changed(rest, snapshot), _cleared(model, rest, snapshot))
            if kind is Restore and any(reasons):
                del self._rests[kind, model]


def _key(task: Task) -> tuple[type[Task], str]:
    return (type(task), model_of(task))


def _works(model: str, rest: _Rest, snapshot: Snapshot) -> bool:
    return snapshot.seen.taken.tick > rest.tick and snapshot.seen.resident(model) is not None


def _changed(rest: _Rest, snapshot: Snapshot) -> bool:
    return rest.slot is not None and snapshot.slot(rest.slot.name) != rest.slot


def _cleared(model: str, rest: _Rest, snapshot: Snapshot) -> bool:
    clears = [one for one in snapshot.operations if one.model == model and one.kind is Kind.CLEAR]
    return any(one.finished.tick > rest.tick for one in clears if one.finished)
