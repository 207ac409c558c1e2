"""The drift checker: one look at lemond, the records made true, lemond's configuration compared, a hang cured.

It calls the same `settle` as the API's observer, through the same store, so it does not matter who comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hal0app.core.clock import Clock, Moment
from hal0app.core.config_drift import differences
from hal0app.core.journal import Entry
from hal0app.core.operation import Kind
from hal0app.core.reconcile import Past
from hal0app.core.residency import Link, Observation
from hal0app.core.settlement import UNREADABLE, settle, unreadable
from hal0app.core.watchdog import Sight

if TYPE_CHECKING:  # `hal0 drift` starts every ten seconds, and the protocols are a tenth of its start
    from hal0app.core.slot import Broken
    from hal0app.core.slot_config import SlotConfig
    from hal0app.services.ports import Looks, SlotFolder, States
    from hal0app.services.watchdog import Watchdog

CLEAN, BLIND, NEWS = 0, 1, 3

PERIOD_S = 10.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True)
class Report:
    """What one run found: the entries it wrote, and whether lemond could be observed (or its silence explained)."""

    entries: Sequence[Entry] = field(default_factory=tuple)
    link: Link = Link.UP
    explained: bool = False
    problem: str | None = None  # why nothing could be written down

    @property
    def exit_code(self) -> int:
        """0 nothing new, 3 something new was written, 1 lemond could not be observed."""
        if self.problem or (self.link is not Link.UP and not self.explained):
            return BLIND
        return NEWS if self.entries else CLEAN


def check(
    probe: Looks,
    slots: SlotFolder,
    store: States,
    clock: Clock,
    want: Mapping[str, Any],
    watchdog: Watchdog | None = None,
) -> Report:
    """Run once. Without a `watchdog` a lemond that hangs is left alone."""
    now = clock()
    past = store.past(now)
    explained = any(one.alive(now) and one.kind is not Kind.PULL for one in past.operations)
    overdue = watchdog is not None and not explained and watchdog.overdue(now)
    seen = probe.look() if overdue or _may_read_health(past, explained, now) else _live_only(probe, now)
    definitions, problem = _read(slots)
    complete = problem is None
    outcome = store.settle(lambda before: settle(definitions, before, seen, clock(), "drift", complete), clock())
    config = probe.config() if seen.fresh and (want or watchdog) else None
    found = {"slots": problem} if problem else {}
    entries = [*outcome.entries, *store.keep_findings(UNREADABLE, found, clock(), "drift")]
    entries += _config_drift(store, clock, want, config)
    if watchdog is not None:
        entries += watchdog.look(Sight(past.recorded, seen, config, explained, now))
    return Report(entries, seen.link, explained and seen.link is Link.BUSY)


def _read(slots: SlotFolder) -> tuple[Sequence[SlotConfig | Broken], str | None]:
    """The slots, and why they could not be read."""
    try:
        return slots.all(), None
    except OSError as problem:
        return (), unreadable(problem)


def _may_read_health(past: Past, explained: bool, now: Moment) -> bool:
    """Whether to ask for health: a silent lemond is asked again after ever longer pauses, for each try may cost it
    a thread until it speaks (lemond-observed.md, surprise 1)."""
    recorded = past.recorded
    quiet = recorded.link in {Link.BUSY, Link.SILENT}
    return not quiet or (not explained and due(now.wall - recorded.link_since))


def due(silent_s: float) -> bool:
    """Whether a run of the timer falls on a retry: after 10, 20, 40 ... s of silence, then every 300 s."""
    pause = PERIOD_S
    while pause < LONGEST_PAUSE_S:
        if pause <= silent_s < pause + PERIOD_S:
            return True
        pause *= 2
    return silent_s % LONGEST_PAUSE_S < PERIOD_S


def _live_only(probe: Looks, now: Moment) -> Observation:
    return Observation(now, probe.ping())


def _config_drift(
    store: States, clock: Clock, want: Mapping[str, Any], config: Mapping[str, Any] | None
) -> Sequence[Entry]:
    if not want or config is None:
        return ()
    found = {one.key: one.text for one in differences(want, config)}
    return store.keep_findings("config.drift", found, clock(), "drift")
