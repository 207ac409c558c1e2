"""What somebody who is to help has to know, as text: versions, slots, the machine, recent trouble. No secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hal0app.core.journal import Entry
from hal0app.web.overview import hardware_facts
from hal0app.web.painting import iso
from hal0app.web.site import site

TROUBLES = 20


def diagnostics(about: Sequence[tuple[str, str]]) -> str:
    """The text; `about`: the versions."""
    return "\n".join(_lines(about))


def _lines(about: Sequence[tuple[str, str]]) -> Iterator[str]:
    hal0 = site().hal0
    yield from (f"{name}: {value}" for name, value in about)
    yield f"Lemonade answers: {hal0.observer.snapshot.seen.link}"
    yield from (f"{fact.name}: {fact.value}" for fact in hardware_facts(hal0.machine.gauges()))
    for view in hal0.slots.all():
        model = view.config.model if view.config else None
        yield f"slot {view.slot.name}: {view.state}, {view.record.reason or 'no reason'}, model {model or 'none'}"
    troubles = [one for one in site().recall.told().entries if one.level != "info"]
    yield from map(_line, troubles[-TROUBLES:])


def _line(entry: Entry) -> str:
    return f"{iso(entry.ts)} {entry.level} {entry.kind} {' '.join(entry.message.split())}"
