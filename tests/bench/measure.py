"""What a measure is: a row of a table, with the function that takes it from one contender."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from tests.bench.contenders import Contender

Figures = Mapping[str, float]  # the unit is at the end of each name


class When(Enum):
    """In which part of a run."""

    FIRST = auto()  # once, while nothing has left free memory behind that would hide what is needed
    EVERY_ROUND = auto()
    LAST = auto()  # once


@dataclass(frozen=True)
class Measure:
    """`group` is what `--measures` calls it. Raises Failed, or an OSError or AssertionError that says what was missed.

    `figures` are the names it gives. `alone`: about hal0 itself, not about a proxy.
    """

    name: str
    group: str
    take: Callable[[Contender], Figures]
    figures: tuple[str, ...]
    when: When = When.EVERY_ROUND
    alone: bool = False
