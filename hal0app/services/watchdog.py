"""The watchdog: tells when lemond hangs, and has systemd restart it. One `look` in every run of the drift checker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hal0app.core import watchdog as core
from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.residency import Resident
from hal0app.core.settings import WatchdogSection
from hal0app.core.watchdog import Facts, Sight, Sign, Unit, Verdict, Watch

if TYPE_CHECKING:
    from hal0app.services.ports import LemondUnit, States, WatchMemory

SOURCE = "drift"
KIND = "lemond.hang"


class Watchdog:
    """`running` names the answers that residents are generating now."""

    def __init__(
        self,
        memory: WatchMemory,
        units: LemondUnit,
        running: Callable[[Iterable[Resident]], frozenset[str]],
        store: States,
        rules: WatchdogSection,
        url: str,
    ) -> None:
        self._memory, self._units, self._running = memory, units, running
        self._store, self._rules, self._url = store, rules, url

    def overdue(self, now: Moment) -> bool:
        """Whether lemond would count as hung if `/live` answered and its health, asked once more, stayed silent."""
        facts = Facts(replace(self._memory.get(), live_failures=0), self._url, self._rules, now.tick)
        return facts.sign is Sign.HEALTH and core.judge(facts) is Verdict.HUNG

    def look(self, sight: Sight) -> list[Entry]:
        """Remember the look and act on it; the journal entries written. Raises sqlite3.Error."""
        known = self._memory.get()
        watch = core.advance(known, self._url, sight.before, sight.seen.link, sight.now)
        watch = replace(watch, limit_s=core.limit(sight.config, watch.limit_s))
        facts = Facts(watch, self._url, self._rules, sight.now.tick, sight.operating)
        verdict, sign = core.judge(facts), facts.sign
        if verdict is Verdict.HUNG and sign is not None:
            return self._consider(watch, sign, sight)
        watch = self._over(watch, sight.now) if verdict is Verdict.WELL and sight.seen.fresh else watch
        if watch != known:
            self._memory.put(watch)
        return []

    def _over(self, watch: Watch, now: Moment) -> Watch:
        if watch.told:
            self._store.keep_findings(KIND, {}, now, SOURCE)
        return replace(watch, told=False)

    def _consider(self, watch: Watch, sign: Sign, sight: Sight) -> list[Entry]:
        """lemond hangs, unless it waits for an answer; what is remembered is written before anything is done."""
        watch = core.considered(watch, sight.now.tick)
        if sign is Sign.HEALTH:
            watch = core.still_answering(watch, self._running(sight.before.residency.residents))
            if watch.answering:
                self._memory.put(watch)
                return []
        unit = self._units.unit()
        if unit.running:
            return self._restart(watch, sign, unit, sight.now)
        if sign is Sign.LIVE:
            self._memory.put(watch)
            return []  # not hung, but stopped or never started; `system.lemond_down` tells it
        state = f"{unit.name} is {unit.state}" if unit.name else "systemd does not run lemond here"
        self._memory.put(replace(watch, told=True))
        return self._tell(watch, sign, sight.now, f"; not restarted, for {state}")

    def _restart(self, watch: Watch, sign: Sign, unit: Unit, now: Moment) -> list[Entry]:
        after = replace(core.restarted(watch, now.tick), told=True)
        self._memory.put(after)
        told = self._tell(watch, sign, now)
        problem = self._units.restart(unit)
        message = f"{unit.name} could not be restarted: {problem}" if problem else f"{unit.name} is restarted: it hung"
        data = {
            "sign": sign,
            "unit": unit.name,
            "restarts": after.restarts,
            "pause_s": core.pause_s(after, self._rules),
        }
        entry = Entry(now.wall, "lemond.restart", message, "error" if problem else "warning", SOURCE, data=data)
        self._store.write_journal([entry])
        return [*told, entry]

    def _tell(self, watch: Watch, sign: Sign, now: Moment, more: str = "") -> list[Entry]:
        """Once for as long as it stays the same."""
        text = core.describe(sign, watch, self._rules) + more
        return self._store.keep_findings(KIND, {"lemond": text}, now, SOURCE)
