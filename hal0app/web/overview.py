"""What the overview shows besides the slots: memory and hardware as values, and the line over everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hal0app.core.hardware import Gpu, Hardware
from hal0app.core.memory_map import GPU, MemoryMap, Part
from hal0app.core.throughput import Throughput
from hal0app.services.machine import Gauges
from hal0app.services.observer import Snapshot
from hal0app.web.cards import Summary
from hal0app.web.vocabulary import GIB, gib

NOT_REPORTED = "not reported"


@dataclass(frozen=True)
class Piece:
    """A stretch of the bar: percent from the left and wide, its size in words, and its kind (the colour)."""

    kind: str  # model | unknown | other
    name: str
    size: str
    left: float
    width: float


@dataclass(frozen=True)
class Memory:
    """The map in words, or the `problem` where it cannot be read; `stale`: the models are as last seen."""

    where: str = ""
    used: str = ""
    total: str = ""
    free: str = ""
    pieces: tuple[Piece, ...] = ()
    unknown: tuple[str, ...] = ()
    unaccounted: str = ""
    problem: str = ""
    stale: bool = False
    floor: str = ""  # what keeps some of it free, in words
    floor_left: float | None = None  # percent from the left


def memory_shown(
    gauges: Gauges | None,
    snapshot: Snapshot,
    held: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Memory:
    """The map, rounded so that equal looks are equal.

    `held`: the models in it with the slots that have them; `config`: lemond's own, as far as it is known.
    """
    if gauges is None:
        return Memory(problem="Reading the machine's memory.")
    if gauges.memory is None:
        return Memory(problem="Memory is not reported on this machine.")
    shown = gauges.memory
    floor, floor_left = _floor(shown, config or {})
    return Memory(
        where=shown.where,
        used=gib(shown.used),
        total=gib(shown.total),
        free=gib(shown.free),
        pieces=tuple(_pieces(shown, held or {}) if snapshot.seen.link.answers else _unknown_pieces(shown)),
        unknown=tuple(part.name for part in shown.parts if part.size is None),
        unaccounted=gib(shown.unaccounted) if shown.unaccounted > GIB // 10 else "",
        stale=not snapshot.seen.fresh,
        floor=floor,
        floor_left=floor_left,
    )


def _floor(shown: MemoryMap, config: Mapping[str, Any]) -> tuple[str, float | None]:
    """What lemond does when memory runs out: where it begins to evict, or that it does not."""
    share = config.get("auto_evict_threshold_pct")
    if config.get("auto_evict") is True and isinstance(share, int | float) and 0 < share <= 1 and shown.where == GPU:
        return f"Lemonade evicts by itself below {gib(round(shown.total * (1 - share)))} free", round(100 * share, 1)
    if config.get("auto_evict") is False:
        return "Nothing is evicted for want of memory: hal0 refuses a load that does not fit.", None
    return "", None


def _pieces(shown: MemoryMap, held: Mapping[str, str]) -> Iterator[Piece]:
    left = 0.0
    for part in shown.parts:
        if part.size:
            width = round(shown.percent(part.size), 1)
            yield Piece("model", held.get(part.name, part.name), _size(part), round(left, 1), width)
            left += width
    yield _rest(shown, left)


def _unknown_pieces(shown: MemoryMap) -> Iterator[Piece]:
    """Nobody says what is loaded: what was held last may be held still."""
    last = sum(part.size or 0 for part in shown.parts)
    width = round(shown.percent(last), 1)
    if last:
        yield Piece("unknown", "Models unknown, last", f"about {gib(last)}", 0.0, width)
    yield _rest(shown, width if last else 0.0)


def _rest(shown: MemoryMap, left: float) -> Piece:
    return Piece("other", "Everything else", gib(shown.other), round(left, 1), round(shown.percent(shown.other), 1))


def _size(part: Part) -> str:
    return gib(part.size or 0) if part.measured else f"about {gib(part.size or 0)}"


@dataclass(frozen=True)
class Fact:
    """A line of the hardware; `fix` says what to do about a value that cannot be read."""

    name: str
    value: str
    fix: str = ""


def hardware_facts(gauges: Gauges | None) -> tuple[Fact, ...]:
    """Each alone: what is missing is "not reported"."""
    if gauges is None:
        return ()
    machine = gauges.hardware
    return (
        Fact("CPU", _cpu(machine)),
        Fact("CPU busy", _or("{} %", gauges.cpu_percent)),
        Fact("CPU temperature", _or("{} °C", machine.cpu_temperature_c)),
        *(fact for gpu in machine.gpus for fact in _gpu(gpu)),
        *(() if machine.gpus else (Fact("GPU", NOT_REPORTED),)),
        Fact("NPU", machine.npu or NOT_REPORTED),
        *_denied(machine.denied),
    )


def _denied(files: Sequence[str]) -> Iterator[Fact]:
    """One line for all of them: they have one cause."""
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        fix = "Add hal0's user to the group that owns it (ls -l tells which) and restart hal0."
        yield Fact("Not readable", f"permission denied on {files[0]}{more}", fix)


def _cpu(machine: Hardware) -> str:
    threads = f", {machine.cpu_threads} threads" if machine.cpu_threads else ""
    return f"{machine.cpu_name}{threads}" if machine.cpu_name else NOT_REPORTED


def _gpu(gpu: Gpu) -> tuple[Fact, ...]:
    return (
        Fact("GPU", gpu.name),
        Fact("GPU busy", _or("{} %", gpu.busy_percent)),
        Fact("GPU temperature", _or("{} °C", gpu.temperature_c)),
        Fact("GPU power", _or("{} W", gpu.power_w)),
    )


def _or(text: str, value: int | None) -> str:
    return NOT_REPORTED if value is None else text.format(value)


@dataclass(frozen=True)
class Curve:
    """Tokens a second in the last minutes: its name, the points of its line, and what it comes to in words."""

    name: str
    line: str
    label: str


@dataclass(frozen=True)
class Traffic:
    """The throughput: a curve for what came out and one for what was read, and figures; else `label` says why not."""

    label: str
    curves: tuple[Curve, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    now: str = ""


def traffic(shown: Throughput | None) -> Traffic:
    """Tokens a second over the last minutes, each kind on a scale of its own; a flat line when nobody asked."""
    if shown is None:
        return Traffic("Reading the requests.")
    if not shown.requests:
        label = "No requests in the last 10 minutes."
        return Traffic(label, (Curve("Output", _line((0.0, 0.0)), label),))
    ttft = "not reported" if shown.ttft_ms is None else f"{shown.ttft_ms} ms"
    figures = (("First token, median", ttft), ("Requests", _requests(shown)))
    now = _speed(shown.output[-1]) if shown.output[-1] >= 0.5 else ""
    curves = (_curve("Output", shown.output), _curve("Prompts", shown.prompt))
    return Traffic("Tokens a second", curves, figures, now)


def _curve(name: str, values: Sequence[float]) -> Curve:
    now, most, average = values[-1], max(values), sum(values) / len(values)
    label = f"{_figure(now)} now, {_figure(most)} at most, {_figure(average)} on average, in tokens/s"
    return Curve(name, _line(values), label)


def _requests(shown: Throughput) -> str:
    count = f"{shown.requests:,}".replace(",", "\u202f")
    return count if shown.every == 1 else f"about {count}, drawn from 1 in {shown.every}"


def _speed(tokens: float) -> str:
    return f"{_figure(tokens)} tokens/s"


def _figure(number: float) -> str:
    """Two digits at least: `2936`, `41`, `0.8`, `0.04`; what is less than that is `0`."""
    digits = 0 if number >= 10 else 1 if number >= 0.1 or number < 0.005 else 2
    return f"{number:.{digits}f}" if number >= 0.005 else "0"


def _line(values: Sequence[float]) -> str:
    """Points of a polyline in a box of 590 by 64; the highest value touches its top."""
    most, step = max(*values, 1e-9), 590 / (len(values) - 1)
    return " ".join(f"{place * step:.0f},{62 - 60 * value / most:.0f}" for place, value in enumerate(values))


@dataclass(frozen=True)
class Overview:
    """The page in one line: whether it is fine."""

    summary: Summary
    speed: str = ""
    used: str = ""
    total: str = ""


def overview(summary: Summary, memory: Memory, shown: Traffic) -> Overview:
    """Slots first, then speed while there is any, then memory where it is known."""
    return Overview(summary, shown.now, memory.used, memory.total)
