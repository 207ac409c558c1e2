"""The report in Markdown. Pure: results and facts in, text out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench.goals import Judged, Part, judge
from tests.bench.results import Results

UNITS = {"us": "us", "ms": "ms", "s": "s", "mb": "MB", "kb": "KB", "percent": "%"}


@dataclass(frozen=True)
class Facts:
    """What a reader must know to believe the figures."""

    command: str
    date: str
    machine: str
    versions: tuple[str, ...]
    rounds: int
    load_before: str
    load_after: str


@dataclass(frozen=True)
class Columns:
    """What the report shows of a measure."""

    measure: str
    figures: tuple[str, ...]


def number(value: float) -> str:
    """Three digits that count, as people write them."""
    if math.isinf(value):
        return "never"
    size = abs(value)
    if size < 0.005:
        return "0"
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def with_unit(value: float, unit: str) -> str:
    """A number and its unit; the unit `yes` makes it a word."""
    if unit == "yes":
        return "yes" if value else "no"
    if math.isinf(value):
        return number(value)
    return f"{number(value)}{unit}" if unit in {"x", "/s", ""} else f"{number(value)} {unit}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _part(part: Part, value: float) -> str:
    return f"{part.label} {with_unit(value, part.unit)}".strip()


def _nginx(judged: Judged, results: Results) -> str:
    told = []
    for part in judged.goal.parts:
        value = part.nginx(results) if part.nginx else None
        if value is not None:
            told.append(with_unit(value, part.nginx_unit or part.unit))
    return " / ".join(told) or "-"


def _verdict(judged: Judged) -> str:
    return f"{judged.verdict}{', of what was measured' if judged.partly else ''}"


def goals_table(results: Results) -> list[str]:
    """A row for every goal of which something was measured, and a line with the others."""
    every = judge(results)
    seen = [one for one in every if one.verdict is not None]
    rows = [
        (
            one.goal.what,
            one.goal.must,
            one.goal.aim or "-",
            "; ".join(_part(part, value) for part, value in one.known),
            _nginx(one, results),
            _verdict(one),
        )
        for one in seen
    ]
    absent = [one.goal.what for one in every if one.verdict is None]
    lines = table(("what", "must", "aim", "hal0", "nginx, same run", "verdict"), rows) if rows else []
    return [*lines, *(["", f"Not in this run: {'; '.join(absent)}."] if absent else [])]


def _heading(figure: str) -> str:
    name, _, unit = figure.rpartition("_")
    return f"{name.replace('_', ' ')}, {UNITS[unit]}" if unit in UNITS and name else figure.replace("_", " ")


def measure_table(columns: Columns, results: Results) -> list[str]:
    """What every contender had in one measure."""
    taken = results.taken.get(columns.measure, {})
    rows = [
        [
            name,
            *(
                number(value)
                for figure in columns.figures
                if (value := results.median(name, columns.measure, figure)) is not None
            ),
        ]
        for name in taken
    ]
    head = ("contender", *map(_heading, columns.figures))
    return [f"**{columns.measure}**", "", *table(head, rows), ""] if rows else []


def report(results: Results, facts: Facts, shown: Sequence[Columns]) -> str:
    """The whole of it."""
    lines = [
        f"Measured {facts.date} with `{facts.command}`; rounds: {facts.rounds}, figures are their medians.",
        "",
        f"* Machine: {facts.machine}; load average {facts.load_before} before, {facts.load_after} after.",
        f"* Versions: {'; '.join(facts.versions)}.",
        *(f"* Note: {note}." for note in results.notes),
        *(f"* Could not be measured: {' '.join(failure.split())}" for failure in results.failures),
        "",
        *goals_table(results),
        "",
    ]
    for columns in shown:
        lines += measure_table(columns, results)
    return "\n".join(lines).rstrip() + "\n"


def marks(section: str) -> tuple[str, str]:
    """The comments around a report that is part of a document."""
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def placed(document: str, section: str, text: str) -> str:
    """The document with the report in its section; where it has none, the report itself."""
    begin, end = marks(section)
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    return f"{before}{begin}\n{text}{end}{after}" if found and closed else text
