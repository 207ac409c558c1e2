"""`python -m tests.bench`: measure hal0 beside nginx and the bare upstream, and report in Markdown.

It never fails on a number: the exit status is 1 only when something could not run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import answers, behaviour, hal0_alone, machine, programs, streams
from tests.bench.contenders import CONTENDERS, USUAL, Contender
from tests.bench.generator import Failed, load
from tests.bench.ground import Ground, ground
from tests.bench.measure import Measure
from tests.bench.report import Columns, Facts, placed, report
from tests.bench.results import Results
from tests.bench.rounds import run

WARM_UP_CONNECTIONS, WARM_UP_S = 4, 0.7
NEEDS_ROOT = "warm"
QUIET_LOAD = 1.0


def every_measure(counts: Sequence[int]) -> list[Measure]:
    """The whole table, for these numbers of streams."""
    return [*answers.MEASURES, *streams.measures(counts), *behaviour.MEASURES, *hal0_alone.MEASURES]


def _names(known: Sequence[str], text: str) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def _counts(text: str) -> list[int]:
    counts = sorted({int(one) for one in text.split(",")})
    if not all(1 <= one <= streams.MOST_STREAMS for one in counts):
        raise argparse.ArgumentTypeError(f"between 1 and {streams.MOST_STREAMS} streams")
    return counts


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    groups = list(dict.fromkeys(one.group for one in every_measure([1])))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", type=lambda text: _names(list(CONTENDERS), text), default=list(USUAL),
                        help=f"contenders, of {', '.join(CONTENDERS)}; default {','.join(USUAL)}")  # fmt: skip
    parser.add_argument("--measures", type=lambda text: _names(groups, text), default=[],
                        help=f"of {', '.join(groups)}; default all")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=_counts, default=[200, 1000, 2000], help="default 200,1000,2000")
    parser.add_argument("--settle", type=float, help="seconds a contender may take to finish what a measure left")
    parser.add_argument("--out", type=Path, help="write the report there too, into its section if it has one")
    parser.add_argument("--section", default="bench", help="of the file of --out; default bench")
    return parser.parse_args(arguments)


def chosen(groups: Sequence[str], counts: Sequence[int], root: bool, results: Results) -> list[Measure]:
    """The measures of these groups, all when none is named; what needs root only with it, or when it is named."""
    table = [one for one in every_measure(counts) if not groups or one.group in groups]
    if root or NEEDS_ROOT in groups:
        return table
    left = [one for one in table if one.group != NEEDS_ROOT]
    if len(left) < len(table):
        results.note("the warm slot beside a loading model was left out: it needs root, for a chroot with lemond")
    return left


def _enter(stack: ExitStack, name: str, on: Ground, settle_s: float | None, results: Results) -> Contender | None:
    """Start a contender and warm it up; None when that fails, which is noted."""
    try:
        one = stack.enter_context(CONTENDERS[name](on))
        one.settle_s = settle_s or one.settle_s
        load("requests", one, connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_S)
    except (programs.Missing, Failed, AssertionError, OSError, RuntimeError) as problem:
        results.failures.append(f"{name}: {problem}")
        return None
    one.settle()
    one.idle_mb = one.memory_mb()
    one.stop()
    return one


def _versions(names: Sequence[str]) -> tuple[str, ...]:
    told = [f"hal0 {machine.commit()}", machine.python_versions()]
    if "nginx" in names:
        told.append(programs.version(programs.nginx(), "-v").removeprefix("nginx version: "))
    if "litellm" in names:
        told.append(programs.LITELLM)
    return (*told, programs.version("gcc", "--version"))


def bench(options: argparse.Namespace, command: str) -> tuple[str, bool]:
    """The report, and whether everything ran."""
    results, before = Results(), machine.load()
    table = chosen(options.measures, options.streams, os.geteuid() == 0, results)
    if os.getloadavg()[0] > QUIET_LOAD:
        results.note(f"the machine was busy with other work (load average {before}): trust no latency or percentile")
    if machine.PROXY_CPU == machine.LOAD_CPU:
        results.note("one CPU for everything: contenders share it with the load")
    with ground() as on, ExitStack() as stack:
        entered = [_enter(stack, name, on, options.settle, results) for name in options.only]
        cast = [one for one in entered if one is not None]
        run(cast, table, options.rounds, results, lambda text: print(text, file=sys.stderr, flush=True))
    facts = Facts(
        command=command,
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        machine=machine.describe(),
        versions=_versions([one.name for one in cast]),
        rounds=options.rounds,
        load_before=before,
        load_after=machine.load(),
    )
    shown = [Columns(one.name, one.figures) for one in table]
    return report(results, facts, shown), not results.failures


def main(arguments: Sequence[str]) -> int:
    """Run it. A SIGTERM ends everything that was started, as Ctrl-C does."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.allow_many_files()
    os.sched_setaffinity(0, {machine.LOAD_CPU})
    try:
        text, whole = bench(options, shlex.join(["python", "-m", "tests.bench", *arguments]))
    except programs.Missing as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    print(text)
    if options.out is not None:
        before = options.out.read_text() if options.out.exists() else ""
        options.out.write_text(placed(before, options.section, text))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
