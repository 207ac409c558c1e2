"""The models in quarantine, in memory and in hal0.db: one owner for the preflight, the keeper and the API."""

from __future__ import annotations

from hal0app.core import quarantine
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.quarantine import Quarantine
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.observer import Snapshot
from hal0app.services.ports import States


class Quarantines:
    """Reads the store once; memory decides, so that a disk that is full frees nobody."""

    def __init__(self, store: States, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known = {one.model: quarantine.read(one) for one in store.proofs(quarantine.KIND)}

    def of(self, model: str) -> Quarantine | None:
        """The model's quarantine, over or not; None when its last load did not fail."""
        return self._known.get(model)

    def refusal(self, model: str, slot: SlotConfig | None) -> Hal0Error | None:
        """`model.quarantined` when the model may not be loaded now, with or without a slot."""
        one = self._known.get(model)
        return None if one is None else quarantine.refusal(one, slot, self._clock())

    def add(self, model: str, cause: str, options: str, slot: str | None = None) -> None:
        """The model could not be loaded. `options`: see `Quarantine`."""
        now = self._clock()
        one = quarantine.after_failure(self._known.get(model), model, cause, options, now)
        self._known[model] = one
        self._store.save_evidence(quarantine.evidence(one))
        message = f"{model} is kept out, for it could not be loaded: {cause}"
        told = Entry(now.wall, "model.quarantine", message, "warning", slot=slot, model=model, data=one.as_json())
        self._store.write_journal([told])

    def lift(self, model: str) -> None:
        """Let it be tried again; not being in quarantine is fine."""
        if self._known.pop(model, None) is not None:
            self._store.forget_evidence(model, quarantine.KIND)

    def forgive(self, snapshot: Snapshot) -> None:
        """Lift those that were seen loaded, or pulled anew, since they failed."""
        for model, one in list(self._known.items()):
            if _works(one, snapshot) or _is_new(one, snapshot):
                self.lift(model)


def _works(one: Quarantine, snapshot: Snapshot) -> bool:
    seen = snapshot.seen
    return seen.taken.tick > one.last.tick and seen.resident(one.model) is not None


def _is_new(one: Quarantine, snapshot: Snapshot) -> bool:
    pulls = [pull for pull in snapshot.operations if pull.model == one.model and pull.completed]
    return any(pull.finished.tick > one.last.tick for pull in pulls if pull.finished)
