"""The journal as lines, and which of them a person wants to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from hal0app.core.journal import LEVELS, Entry
from hal0app.services.heard import Line

MOST_LINES = 500
LIVE_LINES = 200
SINCE = {"": "Ever", "1h": "The last hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days"}
SECONDS = {"1h": 3600, "6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400}
LONGEST = 200


@dataclass(frozen=True)
class LogLine:
    """One entry as a line."""

    number: int
    at: int
    level: str
    kind: str
    source: str
    slot: str
    message: str
    agent: str
    request: str = ""  # the id of the one that made it happen

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"e{self.number}"


def log_line(entry: Entry) -> LogLine:
    """The line of an entry."""
    return LogLine(
        entry.id or 0, round(entry.ts), entry.level, entry.kind, entry.source, entry.slot or "", entry.message,
        entry.agent or "", _request(entry),
    )  # fmt: skip


def _request(entry: Entry) -> str:
    """The id of the request that made it happen. A wipe's cause is a text."""
    cause = entry.data.get("cause")
    return str(cause.get("request", "")) if isinstance(cause, Mapping) else ""


def heard_line(line: Line) -> LogLine:
    """A line of a log."""
    return LogLine(line.number, round(line.at), line.level, "", "", "", line.text, "")


def thinned(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    """The newest lines as an open page gets them: of a second with more than `LIVE_LINES` only every so-many-th."""
    busy = Counter(line.at for line in lines)
    kept = [line for line in lines if line.number % -(-busy[line.at] // LIVE_LINES) == 0]
    return tuple(kept[-LIVE_LINES:])


@dataclass(frozen=True)
class Filters:
    """What the address of the journal page asks for; empty: everything."""

    level: str = ""  # warning: and what is worse
    slot: str = ""
    kind: str = ""
    source: str = ""
    since: str = ""
    q: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """From an address; what cannot be is left out."""
        given = {key: query.get(key, "").strip()[:LONGEST] for key in cls.__dataclass_fields__}
        known = {"level": LEVELS, "since": SINCE}
        return cls(**{key: text if text in known.get(key, (text,)) else "" for key, text in given.items()})

    @property
    def any(self) -> bool:
        """Whether anything is filtered."""
        return any(self.__dict__.values())

    @property
    def query(self) -> str:
        """As the part of an address behind the question mark."""
        return urlencode({key: value for key, value in self.__dict__.items() if value})

    def after(self, now: float) -> float | None:
        """The Unix second from which on lines are wanted."""
        return now - SECONDS[self.since] if self.since else None

    def fits(self, line: LogLine, now: float) -> bool:
        """Whether a line of a log is wanted: by its level, its time and its words."""
        if line.at < (self.after(now) or 0):
            return False
        worse = {"": line.level, "warning": "warning error"}.get(self.level, self.level)
        return line.level in worse.split() and self.q.lower() in line.message.lower()

    def for_store(self, now: float = 0.0) -> dict[str, str | None]:
        """As the store takes it."""
        worse, after = "yes" if self.level == "warning" else None, self.after(now)
        given = {key: value for key, value in self.__dict__.items() if key != "since"}
        told = None if after is None else repr(after)
        return {**given, "level": None if worse else self.level, "worse": worse, "after": told}
