"""The order of things: A B C, A B C, and only the one that is measured is on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.contenders import Contender
from tests.bench.generator import Failed
from tests.bench.measure import Measure, When
from tests.bench.programs import Missing
from tests.bench.results import Results

Tell = Callable[[str], None]


def schedule(table: Sequence[Measure], rounds: int) -> list[Measure]:
    """The measures in their order."""
    first, again, last = ([one for one in table if one.when is when] for when in When)
    return first + again * rounds + last


def run(cast: Sequence[Contender], table: Sequence[Measure], rounds: int, results: Results, tell: Tell) -> None:
    """Take every measure from every contender it is about; what fails is noted, and the run goes on."""
    for one in cast:
        one.stop()
    for measure in schedule(table, rounds):
        for one in cast:
            if measure.alone and one.app is None:
                continue
            figures = take(measure, one, results)
            told = "failed" if figures is None else ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            tell(f"{measure.name} {one.name}: {told}")


def take(measure: Measure, one: Contender, results: Results) -> dict[str, float] | None:
    """The figures of one measure and contender, noted in `results`; None when it failed."""
    try:
        one.go_on()
        figures = dict(measure.take(one))
        assert set(figures) == set(measure.figures), f"{measure.name} gave {sorted(figures)}"
    except (Failed, Missing, AssertionError, OSError, RuntimeError) as problem:
        results.failures.append(f"{measure.name} of {one.name}: {problem}")
        return None
    finally:
        one.settle()
        one.stop()
    results.add(measure.name, one.name, figures)
    return figures
