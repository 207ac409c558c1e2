"""The regions of the pages: what each shows, by which template, and which pages have it.

A new page is a row of `VIEWS` and its template; a new region is a row, a function and a partial.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from hal0app.core.throughput import Throughput
from hal0app.core.timeline import MINUTE, Timeline, timeline
from hal0app.services.hal0 import Hal0
from hal0app.services.heard import KEEP, Line
from hal0app.services.lemond_config import Reading
from hal0app.services.machine import Gauges
from hal0app.services.observer import Snapshot
from hal0app.services.recall import NOTHING_TOLD, Recall, Told
from hal0app.services.slot_view import SlotView
from hal0app.services.stock import Shelves
from hal0app.web.backend_row import BackendRow, backend_rows
from hal0app.web.bench import Bench, benches
from hal0app.web.cards import Card, Summary, cards, summary
from hal0app.web.download_row import DownloadRow, download_row
from hal0app.web.lemonade_line import lemonade_line
from hal0app.web.log import LogLine, heard_line, log_line, thinned
from hal0app.web.model_row import model_rows
from hal0app.web.overview import Fact, Memory, Overview, Traffic, hardware_facts, memory_shown, overview, traffic

EMBEDDED_ENGINE = "hal0-embedded"
FOOTER_LINES = 8
RECENT_LINES = 5
HEARD, OWN = "lemonade-log", "hal0-log"
ASKING = "asking"  # the view of pages that ask a person something: only what is on every page
HOURS = (1, 6)


@dataclass(frozen=True)
class Sight:
    """All that the regions are made of, taken at one moment (`wall`, Unix seconds)."""

    snapshot: Snapshot
    slots: Sequence[SlotView]
    told: Told = NOTHING_TOLD
    wall: float = 0.0
    shelves: Callable[[], Shelves] = Shelves  # asked only where it is shown, for asking keeps it looking
    gauges: Callable[[], Gauges | None] = lambda: None
    traffic: Callable[[], Throughput | None] = lambda: None
    heard: Callable[[], list[Line]] = list
    own_log: Callable[[], list[Line]] = list
    lemond: Callable[[], Reading] = Reading  # its configuration; asking keeps it read
    lemonade_there: Callable[[], bool] = lambda: True
    pulling: Callable[[], bool] = lambda: False  # known without asking, so that every page can show it

    @cached_property
    def cards(self) -> tuple[Card, ...]:
        """The cards of all slots."""
        return cards(self.slots, self.snapshot, self.told.of_slot)


def look(hal0: Hal0, recall: Recall) -> Sight:
    """What hal0 knows now."""
    return Sight(
        snapshot=hal0.observer.snapshot,
        slots=hal0.slots.all(),
        told=recall.told(),
        wall=hal0.clock().wall,
        shelves=hal0.stock.shelves,
        gauges=hal0.machine.gauges,
        traffic=hal0.traffic.shown,
        heard=hal0.heard.lines,
        own_log=hal0.own_log.lines,
        lemond=partial(hal0.lemond_config.shown, 0.0),
        lemonade_there=hal0.lemonade_there,
        pulling=hal0.downloads.under_way,
    )


@dataclass(frozen=True)
class Region:
    """A part of a page that the stream keeps true. `facts` are compared: equal ones are not rendered again.

    `template` renders one element with the id `id`. With `item`, the facts are a tuple of things that have an `id`,
    each rendered by that template, so that one that changes can be sent alone. What `grows` gets new items at its end.
    """

    id: str
    template: str
    facts: Callable[[Sight], Hashable]
    item: str | None = None
    grows: bool = False


def trial_line(sight: Sight) -> bool:
    """Whether the trial engine stands in for Lemonade."""
    return sight.snapshot.residency.engine == EMBEDDED_ENGINE


@dataclass(frozen=True)
class JournalLine:
    """One entry of the journal, short."""

    id: int
    at: int
    level: str
    message: str


def journal_lines(sight: Sight) -> tuple[JournalLine, ...]:
    """The newest entries, newest first."""
    newest = sight.told.entries[-FOOTER_LINES:]
    return tuple(JournalLine(one.id or 0, round(one.ts), one.level, one.message) for one in reversed(newest))


def log_lines(sight: Sight) -> tuple[LogLine, ...]:
    """The newest lines of the journal page, oldest first."""
    return thinned([log_line(one) for one in sight.told.entries[-KEEP:]])


def heard_lines(sight: Sight) -> tuple[LogLine, ...]:
    """Lemonade's own log, as far as it is kept."""
    return thinned([heard_line(one) for one in sight.heard()])


def own_lines(sight: Sight) -> tuple[LogLine, ...]:
    """hal0's own log, as far as it is kept."""
    return thinned([heard_line(one) for one in sight.own_log()])


def model_news(sight: Sight) -> str:
    """What changes when the list of models does."""
    shelves = sight.shelves()
    rows = repr((model_rows(shelves), shelves.problem, shelves.taken is None))
    return hashlib.sha256(rows.encode()).hexdigest()[:12]


def download_rows(sight: Sight) -> tuple[DownloadRow, ...]:
    """What is on its way, or has just ended."""
    return tuple(download_row(one) for one in sight.shelves().downloads)


def under_way(sight: Sight) -> tuple[DownloadRow, ...]:
    """What is being downloaded now."""
    return tuple(row for row in download_rows(sight) if row.running) if sight.pulling() else ()


def download_news(sight: Sight) -> tuple[str, ...]:
    """What is announced of the downloads: each one's start, half and end."""
    return tuple(row.said for row in download_rows(sight))


def backends(sight: Sight) -> tuple[BackendRow, ...]:
    """What Lemonade can run models with."""
    return backend_rows(sight.shelves())


def memory(sight: Sight) -> Memory:
    """Where the memory of the models has gone."""
    named: dict[str, list[str]] = {}
    for view in sight.slots:
        if view.resident is not None:
            named.setdefault(view.resident.model, []).append(view.slot.name)
    held = {model: f"{', '.join(slots)} ({model})" for model, slots in named.items()}
    return memory_shown(sight.gauges(), sight.snapshot, held, sight.lemond().values)


def hardware(sight: Sight) -> tuple[Fact, ...]:
    """The machine."""
    return hardware_facts(sight.gauges())


def overview_line(sight: Sight) -> Overview:
    """The first line of the overview."""
    return overview(slot_summary(sight), memory(sight), throughput_shown(sight))


def throughput_shown(sight: Sight) -> Traffic:
    """What went through lately."""
    return traffic(sight.traffic())


def recent(sight: Sight) -> tuple[JournalLine, ...]:
    """The last lines of the journal."""
    return journal_lines(sight)[:RECENT_LINES]


def slot_cards(sight: Sight) -> tuple[Card, ...]:
    """The cards of all slots."""
    return sight.cards


def chat_slots(sight: Sight) -> tuple[Bench, ...]:
    """The slots that can chat."""
    return benches(sight.slots, sight.snapshot)


def slot_summary(sight: Sight) -> Summary:
    """The line over them."""
    return summary(sight.cards, sight.snapshot)


def residency(sight: Sight) -> Timeline:
    """The last hours, to the end of this minute, so that it changes once a minute or when something happened.

    A journal that is younger than an hour fills an hour.
    """
    end = math.ceil(sight.wall / MINUTE) * MINUTE
    records = {view.slot.name: view.record for view in sight.slots}
    oldest = sight.told.entries[0].ts if sight.told.entries else sight.wall
    hours = next((one for one in HOURS if end - oldest <= one * 3600), HOURS[-1])
    return timeline(records, sight.told.entries, end - hours * 3600, end)


def worst(sight: Sight) -> str:
    """The worst of it, for the browser's tab."""
    return slot_summary(sight).title


# On every page.
SHELL = (
    Region("worst", "partials/_worst.html", worst),
    Region("lemonade", "partials/_lemonade_line.html", lemonade_line),
    Region("trial", "partials/_trial_line.html", trial_line),
    Region("under-way", "partials/_under_way.html", under_way),
    Region("latest", "partials/_journal_line.html", journal_lines),
)


@dataclass(frozen=True)
class View:
    """A page: its address, its name in the navigation (empty: not there), its template and its own regions."""

    path: str
    label: str
    template: str
    own: tuple[Region, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        return SHELL + self.own


VIEWS: dict[str, View] = {
    "overview": View(
        path="/",
        label="Overview",
        template="overview.html",
        own=(
            Region("summary", "partials/_overview.html", overview_line),
            Region("memory", "partials/_memory.html", memory),
            Region("strip", "partials/_strip.html", slot_cards),
            Region("throughput", "partials/_throughput.html", throughput_shown),
            Region("hardware", "partials/_hardware.html", hardware),
            Region("recent", "partials/_recent.html", recent),
        ),
    ),
    "slots": View(
        path="/slots",
        label="Slots",
        template="slots.html",
        own=(
            Region("summary", "partials/_summary.html", slot_summary),
            Region("slot-grid", "partials/_slot_grid.html", slot_cards, item="partials/_slot_card.html"),
            Region("residency", "partials/_residency.html", residency),
        ),
    ),
    "models": View(
        path="/models",
        label="Models",
        template="models.html",
        own=(
            Region("model-news", "partials/_model_news.html", model_news),
            Region("downloads", "partials/_downloads.html", download_rows, item="partials/_download.html"),
            Region("download-news", "partials/_download_news.html", download_news),
            Region("backends", "partials/_backends.html", backends),
        ),
    ),
    "chat": View(
        path="/chat",
        label="Chat",
        template="chat.html",
        own=(Region("chat-slots", "partials/_chat_slots.html", chat_slots),),
    ),
    "journal": View(
        path="/journal",
        label="Journal",
        template="journal.html",
        own=(Region("log", "partials/_log.html", log_lines, item="partials/_log_line.html", grows=True),),
    ),
    HEARD: View(
        path="/journal/lemonade",
        label="",
        template="journal.html",
        own=(Region("log", "partials/_log.html", heard_lines, item="partials/_log_line.html", grows=True),),
    ),
    OWN: View(
        path="/journal/hal0",
        label="",
        template="journal.html",
        own=(Region("log", "partials/_log.html", own_lines, item="partials/_log_line.html", grows=True),),
    ),
    "settings": View(path="/settings", label="Settings", template="settings.html", own=()),
    ASKING: View(path="", label="", template="", own=()),
}


def regions_of(views: set[str]) -> list[Region]:
    """Each region of these views once."""
    return list(dict.fromkeys(region for name in sorted(views) for region in VIEWS[name].regions))
