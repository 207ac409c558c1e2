"""What hal0 does to lemond, recorded as operations: begun, kept alive by a heartbeat, ended."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hal0app import errors
from hal0app.core import journal
from hal0app.core.clock import Clock, Moment
from hal0app.core.operation import Cause, Kind, Operation, Status, last_finished
from hal0app.core.slot import BLAMELESS, State, options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.observer import Observer
from hal0app.services.ports import States

HEARTBEAT_S = 5.0


def new_id() -> str:
    """An id for one operation."""
    return uuid.uuid4().hex[:16]


class Operations:
    """Writes operations to the store; `owner` names this process."""

    def __init__(self, store: States, observer: Observer, clock: Clock, owner: str) -> None:
        self._store, self._observer, self._clock, self._owner = store, observer, clock, owner

    @contextmanager
    def under_way(
        self, id_: str, kind: Kind, model: str, slot: SlotConfig | None, cause: Cause, name: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Record the act from start to end, with a heartbeat so that others see that somebody works on it."""
        begun = self._begun(id_, kind, model, slot, cause, name)
        before = self._offline(model) if kind is Kind.LOAD else {}
        self._store.save_operation(begun)
        self._observer.poke()
        result: dict[str, Any] = {}
        try:
            with self._beating(id_):
                yield result
        except Hal0Error as problem:
            if before and problem.code in BLAMELESS:
                result["before"] = before
            self._end(begun, Status.FAILED, result, problem)
            raise
        except BaseException:
            self._end(begun, Status.FAILED, result, errors.error("system.internal", "an unexpected fault"))
            raise
        self._end(begun, Status.DONE, result)

    def refused(self, id_: str, model: str, slot: SlotConfig | None, cause: Cause, refusal: Hal0Error) -> None:
        """Record what the preflight refused as a load that failed, once for as long as it stays the same."""
        begun = self._begun(id_, Kind.LOAD, model, slot, cause)
        last = last_finished(self._observer.snapshot.operations, model)
        same = last is not None and (last.error_code, last.options) == (refusal.code, begun.options)
        kept_out = slot is None and refusal.code == "model.quarantined"  # the load that failed is the one to remember
        if not (same or kept_out or refusal.code in BLAMELESS):
            self._end(begun, Status.FAILED, {}, refusal)

    def _begun(
        self, id_: str, kind: Kind, model: str, slot: SlotConfig | None, cause: Cause, name: str | None = None
    ) -> Operation:
        options = options_key(slot) if slot else ""
        slot_name = slot.name if slot else name
        return Operation(id_, kind, model, slot_name, cause, self._clock(), owner=self._owner, options=options)

    def _offline(self, model: str) -> dict[str, dict[str, str | None]]:
        """Why the model's slots are offline, which still holds when its load ends without having been tried."""
        return {
            one.slot: {"reason": one.reason, "message": one.message, "displaced_by": one.displaced_by}
            for one in self._observer.snapshot.records.values()
            if one.model == model and one.state is State.OFFLINE
        }

    def _end(self, begun: Operation, status: Status, result: dict[str, Any], error: Hal0Error | None = None) -> None:
        now = self._clock()
        code, message = (error.code, error.message) if error else (None, None)
        ended = replace(
            begun, status=status, finished=now, heartbeat=now, result=result, error_code=code, error_message=message
        )
        self._store.save_operation(ended, [journal.of_operation(ended, now)])
        self._observer.poke()

    @contextmanager
    def _beating(self, id_: str) -> Iterator[None]:
        over = threading.Event()
        beat = threading.Thread(target=_beat, args=(over, self._store.heartbeat, id_, self._clock), daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()


def _beat(over: threading.Event, heartbeat: Callable[[str, Moment], None], id_: str, clock: Clock) -> None:
    while not over.wait(HEARTBEAT_S):
        heartbeat(id_, clock())
