"""The regions of the pages: what each shows, by which template, and which pages have it.

A new page is a row of `VIEWS` and its template; a new region is a row, a function and a partial.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from hal0app.core.journal import Entry
from hal0app.core.operation import Kind
from hal0app.core.residency import Link
from hal0app.services.hal0 import Hal0
from hal0app.services.observer import Snapshot
from hal0app.services.slots import SlotView
from hal0app.web.cards import Card, Summary, cards, summary

EMBEDDED_ENGINE = "hal0-embedded"


@dataclass(frozen=True)
class Sight:
    """All that the regions are made of, taken at one moment."""

    snapshot: Snapshot
    slots: Sequence[SlotView]
    latest: Entry | None = None


def look(hal0: Hal0) -> Sight:
    """What hal0 knows now."""
    latest = hal0.store.journal(limit=1, newest=True)
    return Sight(hal0.observer.snapshot, hal0.slots.all(), latest[0] if latest else None)


@dataclass(frozen=True)
class Region:
    """A part of a page that the stream keeps true. `facts` are compared: equal ones are not rendered again.

    `template` renders one element with the id `id`. With `item`, the facts are a tuple of things that have an `id`,
    each rendered by that template, so that one that changes can be sent alone.
    """

    id: str
    template: str
    facts: Callable[[Sight], Hashable]
    item: str | None = None


@dataclass(frozen=True)
class LemonadeLine:
    """What is wrong with lemond, or an empty `state`."""

    state: str = ""  # busy | down
    loading: str = ""
    as_of: int | None = None


def lemonade_line(sight: Sight) -> LemonadeLine:
    """Busy and down are never merged: one passes by itself, the other needs a person."""
    snapshot = sight.snapshot
    if snapshot.seen.link is Link.UP:
        return LemonadeLine()
    loads = [one.model for one in snapshot.operations if one.running and one.kind is Kind.LOAD]
    return LemonadeLine(
        state="busy" if snapshot.seen.link is Link.BUSY else "down",
        loading=loads[0] if loads else "",
        as_of=round(snapshot.residency.taken.wall) or None,
    )


def trial_line(sight: Sight) -> bool:
    """Whether the trial engine stands in for Lemonade."""
    return sight.snapshot.residency.engine == EMBEDDED_ENGINE


@dataclass(frozen=True)
class JournalLine:
    """The newest entry of the journal."""

    at: int
    message: str


def journal_line(sight: Sight) -> JournalLine | None:
    """The newest entry, or None when nothing has happened yet."""
    return JournalLine(round(sight.latest.ts), sight.latest.message) if sight.latest else None


def slot_cards(sight: Sight) -> tuple[Card, ...]:
    """The cards of all slots."""
    return cards(sight.slots, sight.snapshot)


def slot_summary(sight: Sight) -> Summary:
    """The line over them."""
    return summary(slot_cards(sight), sight.snapshot)


# On every page.
SHELL = (
    Region("lemonade", "partials/_lemonade_line.html", lemonade_line),
    Region("trial", "partials/_trial_line.html", trial_line),
    Region("latest", "partials/_journal_line.html", journal_line),
)


@dataclass(frozen=True)
class View:
    """A page: its address, its name in the navigation, its template and the regions it has besides the shell's."""

    path: str
    label: str
    template: str
    own: tuple[Region, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        return SHELL + self.own


VIEWS: dict[str, View] = {
    "slots": View(
        path="/slots",
        label="Slots",
        template="slots.html",
        own=(
            Region("summary", "partials/_summary.html", slot_summary),
            Region("slot-grid", "partials/_slot_grid.html", slot_cards, item="partials/_slot_card.html"),
        ),
    ),
}


def regions_of(views: set[str]) -> list[Region]:
    """Each region of these views once."""
    found: dict[str, Any] = {region.id: region for name in sorted(views) for region in VIEWS[name].regions}
    return list(found.values())
