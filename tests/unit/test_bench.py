"""The pure parts of the bench: goals and their numbers, verdicts, the report, the order of a run."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from hal0app.core.clock import NEVER
from hal0app.core.model import read_model
from hal0app.core.residency import read_health
from tests.bench import goals, report
from tests.bench.__main__ import chosen, every_measure
from tests.bench.contenders import Contender
from tests.bench.generator import Failed
from tests.bench.goals import GOALS, Goal, Judged, Part, Verdict
from tests.bench.ground import Ground
from tests.bench.measure import Measure, When
from tests.bench.report import Columns, Facts
from tests.bench.results import Results
from tests.bench.rounds import run, schedule
from tests.bench.stub import MODEL, Stub

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
STREAMS = (200, 1000, 2000)
FACTS = Facts("python -m tests.bench", "2026-01-01", "a machine", ("hal0 1", "nginx 2"), 3, "0.1", "0.2")


def complete() -> Results:
    """Results with every figure of every measure, all of them 1 but what goes through a proxy: 2."""
    results = Results()
    for measure in every_measure(STREAMS):
        for name in ("direct", "nginx", "hal0", "litellm"):
            results.add(measure.name, name, dict.fromkeys(measure.figures, 1.0 if name == "direct" else 2.0))
    return results


def with_figures(measure: str, figure: str, **values: float) -> Results:
    results = Results()
    for name, value in values.items():
        results.add(measure, name, {figure: value})
    return results


# -- goals


def test_the_document_and_the_table_have_the_same_goals() -> None:
    section = DOCUMENT.read_text().partition("\n## Goals\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$", section, re.MULTILINE)[1:]
    assert rows == [(goal.what, goal.must, goal.aim or "-") for goal in GOALS]


def test_the_document_names_every_measure() -> None:
    groups = {measure.group for measure in every_measure(STREAMS)}
    assert groups - set(re.findall(r"`(\w+)`", DOCUMENT.read_text())) == set()


def test_every_number_of_every_goal_is_made_from_figures_that_are_measured() -> None:
    for judged in goals.judge(complete()):
        assert None not in judged.values, judged.goal.what
        assert all(part.nginx is None or part.nginx(complete()) is not None for part in judged.goal.parts)


def test_every_goal_has_a_bound_that_decides_it() -> None:
    assert [goal.what for goal in GOALS if not any(part.must is not None for part in goal.parts)] == []
    assert [goal.what for goal in GOALS if goal.aim and not any(part.aim is not None for part in goal.parts)] == []


def test_what_is_added_is_counted_over_the_upstream_alone() -> None:
    added = goals.added_against_nginx("requests1", "p50_us")
    assert added(with_figures("requests1", "p50_us", direct=10, nginx=110, hal0=260)) == 2.5
    assert added(with_figures("requests1", "p50_us", nginx=110, hal0=260)) is None
    assert added(with_figures("requests1", "p50_us", direct=10, nginx=9, hal0=260)) is None


def test_rounds_count_by_their_median_and_losses_by_the_worst() -> None:
    results = Results()
    for lost, cpu in ((0, 30.0), (2, 10.0), (0, 20.0)):
        results.add("paced1000", "hal0", {"lost": lost, "cpu_us": cpu})
    assert goals.own("paced1000", "cpu_us")(results) == 20.0
    assert goals.worst("paced1000", "lost")(results) == 2


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, Verdict.AIM), (1.5, Verdict.MUST), (2.0, Verdict.MUST), (2.1, Verdict.SHORT)]
)
def test_a_bound_is_inclusive(value: float, verdict: Verdict) -> None:
    assert Judged(Goal("", "", "", (Part("", lambda _: None, 2.0, 1.0),)), (value,)).verdict is verdict


def test_more_is_better_where_the_goal_says_so() -> None:
    goal = Goal("", "", "", (Part("", lambda _: None, 10, 100, more=True),))
    assert [Judged(goal, (value,)).verdict for value in (9, 10, 100)] == [Verdict.SHORT, Verdict.MUST, Verdict.AIM]


def test_never_is_short() -> None:
    assert Judged(Goal("", "", "", (Part("", lambda _: None, 5, 1),)), (math.inf,)).verdict is Verdict.SHORT


def test_an_aim_takes_all_of_its_numbers_and_a_must_tells_when_one_is_missing() -> None:
    goal = Goal("", "", "", (Part("", lambda _: None, 2, 1), Part("", lambda _: None, 2, 1)))
    half = Judged(goal, (0.5, None))
    assert (half.verdict, half.partly) == (Verdict.MUST, True)
    assert Judged(goal, (None, None)).verdict is None
    assert Judged(goal, (0.5, 0.5)).verdict is Verdict.AIM


def test_a_goal_without_an_aim_is_at_best_met() -> None:
    assert Judged(Goal("", "", "", (Part("", lambda _: None, 2),)), (0,)).verdict is Verdict.MUST


# -- the report


def test_the_report_tells_machine_versions_command_goals_and_figures() -> None:
    shown = [Columns(measure.name, measure.figures) for measure in every_measure(STREAMS)]
    text = report.report(complete(), FACTS, shown)
    assert "`python -m tests.bench`; rounds: 3, figures" in text
    assert "a machine" in text
    assert "hal0 1; nginx 2" in text
    assert "| requests/s at c=16 | >= 2,500 per core | >= 10,000 | 2/s | 2/s | short |" in text
    assert "Not in this run" not in text
    assert all(f"**{measure.name}**" in text for measure in every_measure(STREAMS))


def test_what_was_not_measured_is_no_row_but_is_named() -> None:
    results = with_figures("drift", "cpu_ms", hal0=79.5)
    results.failures.append("nginx: nginx is missing:\nsudo ...")
    text = report.report(results, FACTS, [Columns("drift", ("cpu_ms",))])
    assert "| `hal0 drift` | <= 120 ms CPU | <= 80 ms | 79.5 ms | - | aim met |" in text
    assert "| 40 idle dashboards" not in text
    assert "Not in this run: CPU per relayed token" in text
    assert "* Could not be measured: nginx: nginx is missing: sudo ...\n" in text


def test_numbers_are_written_for_people() -> None:
    written = [report.number(value) for value in (0, 0.5, 1.25, 12.34, 1234.5, -0.2, -0.001, math.inf)]
    assert written == ["0", "0.5", "1.25", "12.3", "1,234", "-0.2", "0", "never"]
    assert report.with_unit(1.0, "yes") == "yes"
    assert report.with_unit(2.0, "x") == "2x"


def test_a_report_takes_the_place_of_the_old_one_in_a_document() -> None:
    begin, end = report.marks("bench")
    document = f"# Title\n{begin}\nold\n{end}\nafter\n"
    assert report.placed(document, "bench", "new\n") == f"# Title\n{begin}\nnew\n{end}\nafter\n"
    assert report.placed("# Title\n", "bench", "new\n") == "new\n"


# -- the run


class Standing(Contender):
    """A contender without a process."""

    def go_on(self) -> None: ...
    def stop(self) -> None: ...
    def settle(self) -> None: ...


def cast(*names: str) -> list[Contender]:
    return [Standing(name, 0, Ground(0, 0, Path())) for name in names]


def test_memory_comes_first_and_what_is_measured_once_comes_last() -> None:
    order = [measure.name for measure in schedule(every_measure([200]), rounds=2)]
    assert order[0] == "memory"
    assert order.count("requests1") == 2
    assert order[-1] == "warm"


def test_contenders_take_turns_and_a_failure_does_not_end_the_run() -> None:
    turns: list[str] = []

    def take(to: Contender) -> dict[str, float]:
        turns.append(to.name)
        if to.name == "b":
            raise Failed("it is red")
        return {"x": 1.0}

    results = Results()
    run(cast("a", "b", "c"), [Measure("m", "m", take, ("x",))], 2, results, lambda _: None)
    assert turns == ["a", "b", "c"] * 2
    assert results.failures == ["m of b: it is red"] * 2
    assert results.median("c", "m", "x") == 1.0


def test_a_measure_that_gives_other_figures_than_it_says_has_failed() -> None:
    results = Results()
    run(cast("a"), [Measure("m", "m", lambda _: {"y": 1.0}, ("x",), When.LAST)], 1, results, lambda _: None)
    assert results.failures == ["m of a: m gave ['y']"]


def test_without_root_the_real_lemond_is_left_out_and_that_is_said() -> None:
    results = Results()
    assert "warm" not in [one.name for one in chosen([], [200], False, results)]
    assert len(results.notes) == 1
    assert "warm" in [one.name for one in chosen([], [200], True, results)]
    assert [one.name for one in chosen(["warm"], [200], False, results)] == ["warm"]


# -- the stub


def test_the_stub_tells_hal0_a_resident_model_at_the_upstream() -> None:
    with ExitStack() as stack:
        stub = stack.enter_context(Stub(0, 4711, 1))
        seen = read_health(NEVER, stub.health())
        found = seen.resident(MODEL)
        assert found is not None
        assert (found.backend_url, found.recipe) == ("http://127.0.0.1:4711/v1", "llamacpp")
        assert {read_model(row).id for row in stub.listing()["data"]} == set(stub.models)
        stub.unload({"model_name": MODEL})
        assert read_health(NEVER, stub.health()).residents == ()
        stub.load({"model_name": MODEL})
        assert read_health(NEVER, stub.health()).models() == {MODEL}
