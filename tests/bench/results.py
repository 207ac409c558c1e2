"""What a run has measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Results:
    """Figures by measure and contender, one for each round; `failures` are what could not be measured, and why."""

    taken: dict[str, dict[str, list[Mapping[str, float]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, measure: str, contender: str, figures: Mapping[str, float]) -> None:
        """Keep the figures of one round."""
        self.taken.setdefault(measure, {}).setdefault(contender, []).append(figures)

    def note(self, text: str) -> None:
        """Something that a reader of the figures must know; told once."""
        if text not in self.notes:
            self.notes.append(text)

    def median(self, contender: str, measure: str, figure: str) -> float | None:
        """The median over the rounds; None when it was not measured."""
        rounds = self.taken.get(measure, {}).get(contender, [])
        return statistics.median(one[figure] for one in rounds) if rounds else None

    def worst(self, contender: str, measure: str, figure: str) -> float | None:
        """The largest over the rounds: for what must never happen."""
        rounds = self.taken.get(measure, {}).get(contender, [])
        return max((one[figure] for one in rounds), default=None)
