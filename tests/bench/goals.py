"""The goals: a row for each, with the figures that decide it. Pure: results in, numbers and verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.bench.results import Results

Of = Callable[[Results], float | None]


class Verdict(StrEnum):
    """What the figures say about a goal."""

    SHORT = "short"
    MUST = "must met"
    AIM = "aim met"


@dataclass(frozen=True)
class Part:
    """One number of a goal. `must` and `aim` are the bounds, inclusive; `more`: more is better, else less is.

    `nginx` is what nginx had of it in the same run, in `nginx_unit`, or in `unit` where that is empty.
    """

    label: str
    of: Of
    must: float | None
    aim: float | None = None
    unit: str = ""
    more: bool = False
    nginx: Of | None = None
    nginx_unit: str = ""

    def meets(self, value: float, bound: float | None) -> bool:
        """Whether it is within the bound; without one it is."""
        return bound is None or (value >= bound if self.more else value <= bound)


@dataclass(frozen=True)
class Goal:
    """A row: its words, as docs/performance.md has them too, and its numbers."""

    what: str
    must: str
    aim: str
    parts: tuple[Part, ...]


# -- how numbers are made of figures


def own(measure: str, figure: str) -> Of:
    """hal0's own figure."""
    return lambda results: results.median("hal0", measure, figure)


def nginx(measure: str, figure: str) -> Of:
    """nginx's figure."""
    return lambda results: results.median("nginx", measure, figure)


def nginx_adds(measure: str, figure: str) -> Of:
    """What nginx adds to the figure of the upstream alone."""
    return lambda results: added(results, "nginx", measure, figure)


def worst(measure: str, figure: str) -> Of:
    """hal0's worst round."""
    return lambda results: results.worst("hal0", measure, figure)


def ratio(value: float | None, to: float | None) -> float | None:
    """`value / to`; None when one is missing or `to` is nothing that can be divided by."""
    return value / to if value is not None and to is not None and to > 0 else None


def against(other: str, measure: str, figure: str) -> Of:
    """hal0's figure divided by that of another contender of the same run."""
    return lambda results: ratio(results.median("hal0", measure, figure), results.median(other, measure, figure))


def added(results: Results, contender: str, measure: str, figure: str) -> float | None:
    """What a contender adds to the figure of the upstream without a proxy."""
    through, direct = results.median(contender, measure, figure), results.median("direct", measure, figure)
    return through - direct if through is not None and direct is not None else None


def added_against_nginx(measure: str, figure: str) -> Of:
    """What hal0 adds, divided by what nginx adds."""
    return lambda results: ratio(added(results, "hal0", measure, figure), added(results, "nginx", measure, figure))


# -- the table

PACE = 0.95  # of the tokens that are due come: what waits in a proxy is not lost, but of no use


def cpu_per_token(streams: int) -> Part:
    """CPU time per token of paced streams."""
    name = f"paced{streams}"
    of, scale = against("nginx", name, "cpu_us"), nginx(name, "cpu_us")
    return Part(f"{streams}:", of, 1.3, 1.1, "x", nginx=scale, nginx_unit="us")


def lateness(streams: int, must: float | None, aim: float | None) -> Part:
    """How late the latest of a hundred tokens is."""
    name = f"paced{streams}"
    of, scale = against("nginx", name, "p99_us"), nginx(name, "p99_us")
    return Part(f"p99 of {streams}", of, must, aim, "x", nginx=scale, nginx_unit="us")


def added_latency(measure: str, must: float, aim: float) -> Part:
    """What is added to the median of the upstream alone."""
    of, scale = added_against_nginx(measure, "p50_us"), nginx_adds(measure, "p50_us")
    return Part("", of, must, aim, "x", nginx=scale, nginx_unit="us")


GOALS = (
    Goal(
        "CPU per relayed token, 200 / 1000 streams",
        "<= 1.3x nginx", "<= 1.1x",
        (cpu_per_token(200), cpu_per_token(1000)),
    ),
    Goal(
        "1000 streams at 20 tok/s on one core: tokens lost or reordered; p99 lateness",
        "0; <= 5x nginx", "2000 streams, <= nginx",
        (
            Part("lost of 1000", worst("paced1000", "lost"), 0),
            Part("pace", own("paced1000", "pace"), PACE, more=True),
            lateness(1000, 5, None),
            Part("lost of 2000", worst("paced2000", "lost"), None, 0),
            Part("pace", own("paced2000", "pace"), None, PACE, more=True),
            lateness(2000, None, 1),
        ),
    ),
    Goal(
        "added latency p50, c=1, warm slot",
        "<= 2.5x nginx", "<= 1.2x",
        (added_latency("requests1", 2.5, 1.2),),
    ),
    Goal(
        "added TTFT p50, warm slot",
        "<= 3x nginx", "<= 1.5x",
        (added_latency("ttft", 3, 1.5),),
    ),
    Goal(
        "CPU per 1 KB JSON request",
        "<= 400 us", "<= 100 us",
        (Part("", own("requests16", "cpu_us"), 400, 100, "us", nginx=nginx("requests16", "cpu_us")),),
    ),
    Goal(
        "requests/s at c=16",
        ">= 2,500 per core", ">= 10,000",
        (Part("", own("requests16", "rps"), 2500, 10_000, "/s", more=True, nginx=nginx("requests16", "rps")),),
    ),
    Goal(
        "against peers, c=16, same run",
        ">= 15x LiteLLM", ">= 100x",
        (Part("", against("litellm", "requests16", "rps"), 15, 100, "x", more=True),),
    ),
    Goal(
        "memory per open stream; idle app",
        "<= 24 KB; <= 80 MB", "<= 14 KB; <= 60 MB",
        (
            Part("", own("memory", "per_stream_kb"), 24, 14, "KB", nginx=nginx("memory", "per_stream_kb")),
            Part("idle", own("memory", "idle_mb"), 80, 60, "MB", nginx=nginx("memory", "idle_mb")),
        ),
    ),
    Goal(
        "client gone -> upstream closed, in all four cases (mid-stream, before the first token, silent, non-streaming)",
        "<= 5 ms median", "<= 1 ms",
        tuple(
            Part(label, own("gone", figure), 5, 1, "ms", nginx=nginx("gone", figure))
            for label, figure in (
                ("mid-stream", "mid_stream_ms"), ("before the first", "before_first_ms"), ("silent", "silent_ms"),
                ("non-streaming", "whole_ms"),
            )
        ),
    ),
    Goal(
        "1 MB upload",
        "streamed; RSS flat with 50 slow uploads", "",
        (
            Part("streamed", own("upload", "streamed"), 1, unit="yes", more=True, nginx=nginx("upload", "streamed")),
            Part("whole", own("upload", "whole"), 1, unit="yes", more=True),
            Part("growth", own("upload", "growth_mb"), 2, unit="MB", nginx=nginx("upload", "growth_mb")),
            Part("held", own("upload", "held_mb"), None, unit="MB", nginx=nginx("upload", "held_mb")),
        ),
    ),
    Goal(
        "slow reader of a fast stream",
        "growth <= 1 MB, upstream throttled", "",
        (
            Part("growth", own("slow_reader", "growth_mb"), 1, unit="MB", nginx=nginx("slow_reader", "growth_mb")),
            Part("sent after 2.5 s", own("slow_reader", "flowing_mb"), 1, unit="MB",
                 nginx=nginx("slow_reader", "flowing_mb")),
        ),
    ),
    Goal(
        "warm slot while another model loads (real lemond)",
        "p99 added <= 50 ms (seconds through lemond's port)", "<= 20 ms",
        (
            Part("added", own("warm", "added_p99_ms"), 50, 20, "ms"),
            Part("through lemond's port", own("warm", "lemond_ms"), None, None, "ms"),
        ),
    ),
    Goal("start to `/readyz`", "<= 1.5 s", "<= 0.8 s", (Part("", own("start", "ready_s"), 1.5, 0.8, "s"),)),
    Goal("`hal0 drift`", "<= 120 ms CPU", "<= 80 ms", (Part("", own("drift", "cpu_ms"), 120, 80, "ms"),)),
    Goal(
        "40 idle dashboards",
        "<= 3 % of a core", "<= 1 %",
        (
            Part("", own("dashboards", "share_percent"), 3, 1, "%"),
            Part("of it without any", own("dashboards", "alone_percent"), None, None, "%"),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A goal and what was measured of it, in the order of its parts; None is what was not."""

    goal: Goal
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[tuple[Part, float]]:
        """The parts that were measured."""
        return [(part, value) for part, value in zip(self.goal.parts, self.values, strict=True) if value is not None]

    @property
    def verdict(self) -> Verdict | None:
        """By the parts that were measured; None when there are none. An aim takes all of its parts."""
        if not self.known:
            return None
        if not all(part.meets(value, part.must) for part, value in self.known):
            return Verdict.SHORT
        aimed = [part for part in self.goal.parts if part.aim is not None]
        met = [part for part, value in self.known if part.aim is not None and part.meets(value, part.aim)]
        return Verdict.AIM if aimed and len(met) == len(aimed) else Verdict.MUST

    @property
    def partly(self) -> bool:
        """Whether a bound of the must has nothing measured for it."""
        pairs = zip(self.goal.parts, self.values, strict=True)
        return any(value is None and part.must is not None for part, value in pairs)


def judge(results: Results, goals: Sequence[Goal] = GOALS) -> list[Judged]:
    """Every goal with what was measured of it."""
    return [Judged(goal, tuple(part.of(results) for part in goal.parts)) for goal in goals]
