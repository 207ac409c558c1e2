"""What is wrong with Lemonade, in one banner: each state with its evidence, worst first.

Busy passes by itself, down needs a person, and what a restart or a failed load took away comes back by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hal0app.core.journal import Entry
from hal0app.core.operation import Kind
from hal0app.core.reasons import Reason
from hal0app.core.residency import Link
from hal0app.core.slot import State
from hal0app.services.observer import Snapshot
from hal0app.services.recall import Told
from hal0app.services.slot_view import SlotView

RESTART_TOLD_S = 600.0
START_TAKES_S = 30.0


class Seen(Protocol):
    """The part of a sight that tells about Lemonade."""

    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def slots(self) -> Sequence[SlotView]: ...
    @property
    def told(self) -> Told: ...
    @property
    def wall(self) -> float: ...
    @property
    def lemonade_there(self) -> Callable[[], bool]: ...


@dataclass(frozen=True)
class LemonadeLine:
    """`state`: down | starting | absent | locked | busy | wiped | restarted; empty: nothing is wrong.

    Times are Unix seconds.
    """

    state: str = ""
    model: str = ""
    slots: tuple[str, ...] = ()
    at: int | None = None  # since when it is so
    as_of: int | None = None  # how old the figures are


def lemonade_line(sight: Seen) -> LemonadeLine:
    """The worst that holds."""
    link = sight.snapshot.seen.link
    if not link.answers:
        return _down(sight)
    if sight.snapshot.seen.locked_out:
        return LemonadeLine("locked")
    if link is Link.BUSY:
        return _busy(sight)
    return _wiped(sight) or _restarted(sight) or LemonadeLine()


def _as_of(sight: Seen) -> int | None:
    return round(sight.snapshot.residency.taken.wall) or None


def _newest(sight: Seen, kind: str) -> Entry | None:
    return next((one for one in reversed(sight.told.entries) if one.kind == kind), None)


def _down(sight: Seen) -> LemonadeLine:
    """Not there only when it was never seen, so that a restart does not read like a loss."""
    if _as_of(sight) is None and not sight.lemonade_there():
        return LemonadeLine("absent")
    gone = _newest(sight, "system.lemond_down")
    back = _newest(sight, "lemond.restart")
    since = gone if gone is not None and (back is None or back.ts <= gone.ts) else None
    start = _newest(sight, "system.lemond_start")
    if start is not None and start.level == "info" and sight.wall - start.ts < START_TAKES_S:
        return LemonadeLine("starting", at=round(start.ts))
    return LemonadeLine("down", at=round(since.ts) if since else _as_of(sight), as_of=_as_of(sight))


def _busy(sight: Seen) -> LemonadeLine:
    load = next((one for one in sight.snapshot.operations if one.running and one.kind is Kind.LOAD), None)
    if load is None:
        return LemonadeLine("busy", as_of=_as_of(sight))
    return LemonadeLine("busy", load.model, at=round(load.started.wall), as_of=_as_of(sight))


def _offline(sight: Seen, reason: Reason) -> tuple[str, ...]:
    records = [one.record for one in sight.slots]
    return tuple(one.slot for one in records if one.state is State.OFFLINE and one.reason is reason)


def _wiped(sight: Seen) -> LemonadeLine | None:
    """While a slot is still away that a failed load took with it."""
    away = _offline(sight, Reason.NUCLEAR)
    failed = next(
        (one for one in reversed(sight.told.entries) if one.kind == "slot.load" and one.data.get("code")), None
    )
    if not away:
        return None
    return LemonadeLine("wiped", (failed and failed.model) or "", away, round(failed.ts) if failed else None)


def _restarted(sight: Seen) -> LemonadeLine | None:
    """A while long, as long as nothing has been loaded since."""
    told = _newest(sight, "lemond.restart")
    lost = _offline(sight, Reason.LEMOND_RESTARTED)
    if told is None or not lost or sight.snapshot.residency.residents or sight.wall - told.ts > RESTART_TOLD_S:
        return None
    return LemonadeLine("restarted", slots=lost, at=round(told.ts))
