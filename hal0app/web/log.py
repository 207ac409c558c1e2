"""The journal as lines, and which of them a person wants to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from hal0app.core.journal import LEVELS, Entry
from hal0app.services.heard import Line

MOST_LINES = 500
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
        entry.agent or "", (entry.data.get("cause") or {}).get("request", ""),
    )  # fmt: skip


def heard_line(line: Line) -> LogLine:
    """A line of Lemonade's own log."""
    return LogLine(line.number, round(line.at), line.level, "", "lemonade", "", line.text, "")


@dataclass(frozen=True)
class Filters:
    """What the address of the journal page asks for; empty: everything."""

    level: str = ""  # warning: and what is worse
    slot: str = ""
    kind: str = ""
    source: str = ""
    q: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """From an address; what cannot be is left out."""
        given = {key: query.get(key, "").strip()[:LONGEST] for key in cls.__dataclass_fields__}
        return cls(**{**given, "level": given["level"] if given["level"] in LEVELS else ""})

    @property
    def any(self) -> bool:
        """Whether anything is filtered."""
        return any(self.__dict__.values())

    @property
    def query(self) -> str:
        """As the part of an address behind the question mark."""
        return urlencode({key: value for key, value in self.__dict__.items() if value})

    def fits(self, line: LogLine) -> bool:
        """Whether a line of Lemonade's log is wanted: by its level and its words."""
        worse = {"": line.level, "warning": "warning error"}.get(self.level, self.level)
        return line.level in worse.split() and self.q.lower() in line.message.lower()

    def for_store(self) -> dict[str, str | None]:
        """As the store takes it."""
        worse = "yes" if self.level == "warning" else None
        return {**self.__dict__, "level": None if worse else self.level, "worse": worse}
