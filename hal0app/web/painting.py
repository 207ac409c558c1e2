"""From facts to HTML: the templates, a region as painted, and what a later painting changes on an open page."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hal0app.web.cards import TYPE_WORDS
from hal0app.web.regions import VIEWS, Region, Sight
from hal0app.web.vocabulary import gib, tokens

TEMPLATES = Path(__file__).parent / "templates"
REPLACE, APPEND = "outerMorph", "beforeend"


class Patch(NamedTuple):
    """An element by its id, and what it becomes, or what is put at its end (`swap`)."""

    id: str
    html: Markup
    swap: str = REPLACE


@dataclass(frozen=True)
class Painting:
    """A region as last painted; `items` by element id, in order."""

    facts: Hashable
    html: Markup
    items: Mapping[str, Markup] = field(default_factory=dict)


def patches(region: Region, before: Painting | None, now: Painting) -> list[Patch]:
    """The elements to replace: single items where only they changed, else the region, else none.

    A region that grows gets its new items, and all of them on a page that just begins.
    """
    if before is not None and before.html == now.html:
        return []
    if region.grows:
        known = before.items if before is not None else {}
        news = Markup("").join(html for id_, html in now.items.items() if id_ not in known)
        return [Patch(region.id, news, APPEND)] if news else []
    if before is None or not now.items or list(before.items) != list(now.items):
        return [Patch(region.id, now.html)]
    return [Patch(id_, html) for id_, html in now.items.items() if before.items[id_] != html]


class Painter:
    """Renders templates; `urls` are the addresses of the assets by plain name."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._templates.globals.update(
            urls=urls, views=VIEWS, build=build(urls), type_words=TYPE_WORDS, now=now_ms, zone=zone
        )
        self._templates.filters.update(iso=iso, clock=clock, counted=counted, tokens=tokens, gib=gib, listed=listed)

    def render(self, template: str, **facts: object) -> Markup:
        """One template as safe HTML."""
        return Markup(self._templates.get_template(template).render(**facts))  # noqa: S704 - autoescape is on

    def paint(self, region: Region, sight: Sight, before: Painting | None) -> Painting:
        """The region as it looks now; the painting of before when its facts are the same."""
        facts = region.facts(sight)
        if before is not None and before.facts == facts:
            return before
        if region.item is None:
            return Painting(facts, self.render(region.template, it=facts))
        assert isinstance(facts, tuple)
        drawn = {(thing.id, thing): before.items[thing.id] for thing in before.facts} if before is not None else {}  # type: ignore[attr-defined]
        items = {thing.id: drawn.get((thing.id, thing)) or self.render(region.item, it=thing) for thing in facts}
        return Painting(facts, self.render(region.template, items=list(items.values())), items)


def build(urls: Mapping[str, str]) -> str:
    """What an open page compares to know that scripts or templates are other ones than its own."""
    digest = hashlib.sha256("".join(sorted(urls.values())).encode())
    for file in sorted(TEMPLATES.rglob("*.html")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def now_ms() -> int:
    """The server's clock when a page was made, by which the browser reads its own; Unix milliseconds."""
    return round(datetime.now(UTC).timestamp() * 1000)


def zone() -> str:
    """The zone of the times that no script puts into the reader's own, `CET` or `+03`."""
    return datetime.now(UTC).astimezone().tzname() or "local"


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC, for `datetime` attributes."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(seconds: float, count: str) -> str:
    """How long it is since (`up`) or until (`down`) then: `4:10`. The browser goes on counting."""
    passed = datetime.now(UTC).timestamp() - seconds
    whole = max(round(passed if count == "up" else -passed), 0)
    return f"{whole // 60}:{whole % 60:02}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def clock(seconds: float) -> str:
    """Unix seconds as the host's local time; with the day when it is another one. The browser puts its own zone."""
    then, now = datetime.fromtimestamp(seconds, UTC).astimezone(), datetime.now(UTC).astimezone()
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then.day} {then:%b %H:%M}"
