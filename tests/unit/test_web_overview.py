"""The overview as values."""

from __future__ import annotations

from hal0app.core.clock import Moment
from hal0app.core.hardware import Gpu, Hardware
from hal0app.core.memory import GIB
from hal0app.core.memory_map import MemoryMap, Part
from hal0app.core.residency import Link, Observation
from hal0app.core.throughput import Throughput
from hal0app.services.machine import Gauges
from hal0app.services.observer import Snapshot
from hal0app.web.cards import Summary
from hal0app.web.overview import Fact, hardware_facts, memory_shown, overview, traffic

UP = Snapshot(seen=Observation(Moment(5, 1005), Link.UP))
DOWN = Snapshot(seen=Observation(Moment(5, 1005), Link.DOWN))
MAP = MemoryMap("GPU", 96 * GIB, 34 * GIB, (Part("a", 24 * GIB), Part("b", 12 * GIB, True), Part("c", None)), 26 * GIB)


def test_the_bar_has_a_stretch_for_each_model_whose_size_is_known_and_estimates_say_about() -> None:
    shown = memory_shown(Gauges(Hardware(), memory=MAP), UP)
    assert [(one.name, one.size, one.left, one.width) for one in shown.pieces] == [
        ("a", "about 24.0 GiB", 0.0, 25.0), ("b", "12.0 GiB", 25.0, 12.5), ("Everything else", "26.0 GiB", 37.5, 27.1),
    ]  # fmt: skip
    assert (shown.used, shown.total, shown.free, shown.unknown) == ("62.0 GiB", "96.0 GiB", "34.0 GiB", ("c",))


def test_models_are_as_last_seen_while_lemonade_does_not_answer() -> None:
    assert not memory_shown(Gauges(Hardware(), memory=MAP), UP).stale
    assert memory_shown(Gauges(Hardware(), memory=MAP), DOWN).stale


def test_a_piece_has_the_names_of_the_slots_that_hold_it() -> None:
    assert memory_shown(Gauges(Hardware(), memory=MAP), UP, {"a": "chat (a)"}).pieces[0].name == "chat (a)"


def test_what_models_hold_is_not_claimed_while_nobody_says_what_is_loaded() -> None:
    shown = memory_shown(Gauges(Hardware(), memory=MAP), DOWN)
    assert [(one.kind, one.name, one.size, one.width) for one in shown.pieces] == [
        ("unknown", "Models unknown, last", "about 36.0 GiB", 37.5), ("other", "Everything else", "26.0 GiB", 27.1),
    ]  # fmt: skip
    bare = memory_shown(Gauges(Hardware(), memory=MemoryMap("RAM", 8 * GIB, 4 * GIB, (), 4 * GIB)), DOWN)
    assert [one.kind for one in bare.pieces] == ["other"]


def test_memory_that_cannot_be_read_is_said_to_be_not_reported() -> None:
    assert "not reported" in memory_shown(Gauges(Hardware()), UP).problem
    assert memory_shown(None, UP).problem


def test_each_missing_fact_is_not_reported_alone() -> None:
    facts = hardware_facts(Gauges(Hardware(cpu_name="CPU X", cpu_threads=2, gpus=(Gpu("amdgpu", 0),)), 0))
    assert facts == (
        Fact("CPU", "CPU X, 2 threads"), Fact("CPU busy", "0 %"), Fact("CPU temperature", "not reported"),
        Fact("GPU", "amdgpu"), Fact("GPU busy", "0 %"), Fact("GPU temperature", "not reported"),
        Fact("GPU power", "not reported"), Fact("NPU", "not reported"),
    )  # fmt: skip


def test_what_may_not_be_read_is_told_with_what_to_do() -> None:
    (told,) = [fact for fact in hardware_facts(Gauges(Hardware(denied=("/sys/a", "/sys/b")))) if fact.fix]
    assert told.value == "permission denied on /sys/a and 1 more"
    assert "group" in told.fix


def test_traffic_is_told_in_figures_and_a_curve() -> None:
    shown = traffic(Throughput((0.0,) * 58 + (20.0, 40.0), (0.0,) * 60, 120, 3))
    assert shown.now == "40 tokens/s"
    assert dict(shown.figures)["First token, median"] == "120 ms"
    output, prompts = shown.curves
    assert output.line.endswith("580,32 590,2")
    assert (output.name, output.label) == ("Output", "40 now, 40 at most, 1.0 on average, in tokens/s")
    assert (prompts.name, prompts.line) == ("Prompts", prompts.line.replace(",2 ", ",62 "))
    assert overview(Summary(1, 1), memory_shown(None, UP), shown).speed == "40 tokens/s"


def test_no_traffic_is_a_flat_line_and_said() -> None:
    assert traffic(Throughput()).label == "No requests in the last 10 minutes."
    assert [curve.line for curve in traffic(Throughput()).curves] == ["0,62 590,62"]
    assert traffic(None).figures == ()


def test_where_lemonade_evicts_by_itself_is_marked_and_where_it_does_not_is_said() -> None:
    on = {"auto_evict": True, "auto_evict_threshold_pct": 0.9}
    shown = memory_shown(Gauges(Hardware(), memory=MAP), UP, None, on)
    assert (shown.floor, shown.floor_left) == ("Lemonade evicts by itself below 9.6 GiB free", 90.0)
    off = memory_shown(Gauges(Hardware(), memory=MAP), UP, None, {**on, "auto_evict": False})
    assert (off.floor, off.floor_left) == (
        "Nothing is evicted for want of memory: hal0 refuses a load that does not fit.", None,
    )  # fmt: skip
    assert memory_shown(Gauges(Hardware(), memory=MAP), UP).floor == ""


def test_figures_have_as_many_digits_as_they_need() -> None:
    shown = traffic(Throughput((2936.4,) + (0.0,) * 58 + (0.04,), (0.0,) * 60, 120, 12_345, 4))
    assert shown.curves[0].label == "0.04 now, 2936 at most, 49 on average, in tokens/s"
    assert shown.curves[1].label == "0 now, 0 at most, 0 on average, in tokens/s"
    assert dict(shown.figures)["Requests"].replace("\u202f", " ") == "about 12 345, drawn from 1 in 4"
