"""Which models the models page shows, and in which order: what its address asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hal0app.web.cards import TYPE_WORDS
from hal0app.web.model_row import ModelRow

LONGEST = 200
ORDERS = {
    "": (
        "Used first",
        lambda row: (
            not row.pinned,
            row.state != "Loaded",
            not row.slots,
            not row.here,
            -(row.last_used or 0),
            row.name.lower(),
        ),
    ),
    "last": ("Last used", lambda row: (-(row.last_used or 0), -row.lately, row.name.lower())),
    "name": ("Name", lambda row: row.name.lower()),
    "size": ("Size, largest first", lambda row: (-(row.size_gb or 0), row.name.lower())),
    "type": ("Type", lambda row: (row.type, row.name.lower())),
}
WHERE = {"": "Everywhere", "here": "On this machine", "offered": "To download"}


@dataclass(frozen=True)
class Wanted:
    """What the address of the models page asks for."""

    q: str = ""
    type: str = ""
    where: str = ""
    sort: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """From an address; what cannot be is left out."""
        known: dict[str, Mapping[str, Any]] = {"type": TYPE_WORDS, "where": WHERE, "sort": ORDERS}
        given = {key: query.get(key, "").strip()[:LONGEST] for key in cls.__dataclass_fields__}
        return cls(**{key: text if key == "q" or text in known[key] else "" for key, text in given.items()})

    @property
    def query(self) -> str:
        """As the part of an address behind the question mark."""
        return urlencode({key: value for key, value in self.__dict__.items() if value})

    @property
    def any(self) -> bool:
        """Whether anything is left out."""
        return bool(self.q or self.type or self.where)

    def of_rows(self, rows: Iterable[ModelRow]) -> list[ModelRow]:
        """Those that fit, in order."""
        fitting = [row for row in rows if self._fits(row)]
        return sorted(fitting, key=ORDERS[self.sort][1])

    def _fits(self, row: ModelRow) -> bool:
        place = {"": True, "here": row.here, "offered": not row.here}[self.where]
        return place and self.q.lower() in row.name.lower() and self.type in {"", row.type}
