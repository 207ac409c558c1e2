"""One reconciliation, whole: from the past and an observation to everything that must be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hal0app.core import journal, npu
from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.reconcile import Past, Recorded, Slot, Transition, reconcile
from hal0app.core.residency import Link, Observation

UNREADABLE = "system.slots"  # the kind of the finding and of its journal entry


def unreadable(problem: OSError) -> str:
    """What to tell when the slot files cannot be listed."""
    return f"the slot files cannot be read ({problem}): the last known slots stay in force and nothing is forgotten"


@dataclass(frozen=True)
class Outcome:
    """What a reconciliation writes; a None means that what is stored still holds."""

    transitions: tuple[Transition, ...] = ()
    entries: tuple[Entry, ...] = ()
    residency: Observation | None = None
    link: Link | None = None
    forgotten: tuple[str, ...] = ()  # records of slots that are no more

    @property
    def empty(self) -> bool:
        return not (self.transitions or self.entries or self.residency or self.link or self.forgotten)


def settle(
    slots: Sequence[Slot], past: Past, seen: Observation, now: Moment, source: str, complete: bool = True
) -> Outcome:
    """Reconcile the records with `seen`. An observation older than the stored residency changes nothing.

    Unless `slots` are `complete`, no record is forgotten: it may belong to one that could not be read.
    """
    recorded = past.recorded
    if seen.taken.tick < recorded.residency.taken.tick:
        return Outcome()
    transitions = reconcile(npu.carried(slots, seen), recorded, seen, past.operations, now, past.evidence)
    return Outcome(
        transitions=tuple(transitions),
        entries=(*journal.of_link(recorded, seen, source), *journal.of_transitions(transitions, now.wall, source)),
        residency=seen if _news(recorded, seen) else None,
        link=_link(recorded.link, seen.link),
        forgotten=tuple(set(recorded.records) - {slot.name for slot in slots}) if complete else (),
    )


WORSE = (Link.UP, Link.BUSY, Link.SILENT, Link.DOWN)


def _link(before: Link, now: Link) -> Link | None:
    """The link to store, if it is another. Until lemond tells its residency it only gets worse: silence right after an
    absence leaves the absence, which is evidence, and a silence that wavers keeps its beginning."""
    if now is Link.UP:
        return None if before is Link.UP else now
    return now if WORSE.index(now) > WORSE.index(before) else None


def _news(recorded: Recorded, seen: Observation) -> bool:
    """Whether the residency is another one than the stored: other models, other loadings of them, another lemond."""
    if not seen.fresh:
        return False
    before = recorded.residency
    return (_loadings(before), before.boot, before.capacity) != (_loadings(seen), seen.boot, seen.capacity)


def _loadings(seen: Observation) -> set[tuple[str, tuple[str, int | None]]]:
    return {(one.model, one.address) for one in seen.residents}
