"""The watchdog's judgement: when lemond counts as hung, and when it may be restarted. All times in seconds of the tick.

lemond is silent for good reasons too: a load, and an eviction that waits for a busy model, keep its health waiting
while `/live` answers (lemond-observed.md, surprise 1). So silence alone is never enough.
The values are msgspec's: defining dataclasses costs `hal0 drift` three times as much at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from hal0app.core.clock import Moment
from hal0app.core.reconcile import Recorded
from hal0app.core.residency import Link, Observation
from hal0app.core.settings import WatchdogSection

GLOBAL_TIMEOUT_S = 600.0  # lemond's default (lemonade-contract.md section 8)
HEALTHY_S = 3600.0
RUN_BY_SYSTEMD = frozenset({"active", "activating"})


class Sign(StrEnum):
    """By what a hang shows."""

    LIVE = "live"  # nothing answers, several times in a row
    HEALTH = "health"  # /live answers, health has been silent for longer than lemond itself waits for anything


class Verdict(StrEnum):
    """What to do about lemond."""

    WELL = "well"  # nothing
    FOREIGN = "foreign"  # nothing: it was never heard at this address
    RESTING = "resting"  # wait: systemd was asked a short while ago
    EXPLAINED = "explained"  # wait: hal0 loads or unloads a model
    HUNG = "hung"  # ask systemd for a restart


class Watch(msgspec.Struct, frozen=True):
    """What one run of the checker leaves for the next; None: not so at the moment."""

    url: str = ""  # where lemond was heard last
    limit_s: float = GLOBAL_TIMEOUT_S  # lemond's global_timeout, as last read
    live_failures: int = 0  # in a row
    silent_since: float | None = None
    healthy_since: float | None = None  # kept while a restart is remembered
    asked_at: float | None = None  # when a restart was considered last
    restarts: int = 0  # without an hour of health after them
    answering: tuple[str, ...] | None = None  # what ran when the silence had grown too long, and still runs
    told: bool = False


class Unit(msgspec.Struct, frozen=True):
    """lemond under systemd: its name and ActiveState, both empty where systemd does not run it."""

    name: str = ""
    state: str = ""

    @property
    def running(self) -> bool:
        """Whether systemd wants it up: one that somebody stopped is not ours to start."""
        return self.state in RUN_BY_SYSTEMD


class Sight(msgspec.Struct, frozen=True):
    """One look of the drift checker; `before` is what was recorded until then, `config` lemond's, where it told it."""

    before: Recorded
    seen: Observation
    config: Mapping[str, Any] | None
    operating: bool  # hal0 loads or unloads something
    now: Moment


def after_reboot(watch: Watch) -> Watch:
    """What is left of it when the machine, and with it the tick, started anew."""
    return Watch(url=watch.url, limit_s=watch.limit_s, told=watch.told)


def advance(watch: Watch, url: str, before: Recorded, link: Link, now: Moment) -> Watch:
    """The watch after a look that found `link`; `before` is what any process had recorded until then."""
    if link is Link.UP:
        return _heard(replace(watch, url=url, live_failures=0, silent_since=None, answering=None), now.tick)
    since = _silent_since(watch, before, now)
    if link is Link.BUSY:
        return replace(watch, live_failures=0, silent_since=since)
    return replace(watch, live_failures=watch.live_failures + 1, silent_since=since, healthy_since=None)


def _heard(watch: Watch, tick: float) -> Watch:
    """Restarts are forgotten after an hour of health."""
    healthy = tick if watch.healthy_since is None else watch.healthy_since
    if not watch.restarts or tick - healthy >= HEALTHY_S:
        return replace(watch, healthy_since=None, restarts=0)
    return replace(watch, healthy_since=healthy)


def _silent_since(watch: Watch, before: Recorded, now: Moment) -> float:
    """Since when nobody heard lemond's health: another process may have, after our last run."""
    if watch.silent_since is None or before.link is Link.UP:
        return now.tick
    recorded = now.tick - max(0.0, now.wall - before.link_since)
    return max(watch.silent_since, recorded)


def limit(config: Mapping[str, Any] | None, known: float) -> float:
    """lemond's global_timeout in its configuration; what is known already where it does not say."""
    told = config.get("global_timeout") if config else None
    return float(told) if isinstance(told, int | float) and told > 0 else known


def sign(watch: Watch, rules: WatchdogSection, tick: float) -> Sign | None:
    """By what lemond seems to hang, if it does."""
    if watch.live_failures >= rules.live_failures:
        return Sign.LIVE
    silent = watch.silent_since is not None and tick - watch.silent_since > watch.limit_s
    return Sign.HEALTH if silent and not watch.live_failures else None


def pause_s(watch: Watch, rules: WatchdogSection) -> float:
    """How long to leave lemond alone after a restart was considered; doubled by every restart but the first."""
    return float(min(rules.backoff_s * 2.0 ** min(max(watch.restarts - 1, 0), 32), rules.longest_backoff_s))


class Facts(msgspec.Struct, frozen=True):
    """All that a verdict depends on."""

    watch: Watch
    url: str
    rules: WatchdogSection
    tick: float
    operating: bool = False  # hal0 loads or unloads something

    @property
    def sign(self) -> Sign | None:
        return sign(self.watch, self.rules, self.tick)

    @property
    def resting(self) -> bool:
        asked = self.watch.asked_at
        return asked is not None and self.tick - asked < pause_s(self.watch, self.rules)


class Case(msgspec.Struct, frozen=True):
    """One row: the first that holds decides."""

    name: str
    holds: Callable[[Facts], bool]
    verdict: Verdict


CASES: tuple[Case, ...] = (
    Case("nothing speaks against it", lambda f: f.sign is None, Verdict.WELL),
    Case("it was never heard at this address, or is on another machine", lambda f: not _ours(f), Verdict.FOREIGN),
    Case("a restart was considered a short while ago", lambda f: f.resting, Verdict.RESTING),
    Case("hal0 works on it", lambda f: f.sign is Sign.HEALTH and f.operating, Verdict.EXPLAINED),
    Case("nothing explains it", lambda f: True, Verdict.HUNG),
)


def judge(facts: Facts) -> Verdict:
    """The verdict of the first case that holds."""
    return next(case.verdict for case in CASES if case.holds(facts))


def _ours(facts: Facts) -> bool:
    host = urlsplit(facts.url).hostname or ""
    return facts.watch.url == facts.url and (host in {"localhost", "::1"} or host.startswith("127."))


def still_answering(watch: Watch, running: frozenset[str]) -> Watch:
    """What explains a silence: an answer under way since it grew too long. Later ones came past lemond."""
    left = running if watch.answering is None else running & frozenset(watch.answering)
    return replace(watch, answering=tuple(sorted(left)))


def considered(watch: Watch, tick: float) -> Watch:
    """The watch after systemd was asked about lemond."""
    return replace(watch, asked_at=tick)


def restarted(watch: Watch, tick: float) -> Watch:
    """The watch after a restart: lemond starts from nothing."""
    fresh = replace(watch, live_failures=0, silent_since=None, healthy_since=None, answering=None)
    return replace(fresh, asked_at=tick, restarts=watch.restarts + 1)


HANGS: dict[Sign, str] = {
    Sign.LIVE: "lemond hangs: /live failed {failures} times in a row",
    Sign.HEALTH: "lemond hangs: no word of its health for more than {limit:g} s, and nothing explains it",
}


def describe(sign: Sign, watch: Watch, rules: WatchdogSection) -> str:
    """The words for a hang, the same for as long as it lasts."""
    return HANGS[sign].format(failures=rules.live_failures, limit=watch.limit_s)
