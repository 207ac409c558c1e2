"""tests/soak judges itself here: what it calls growth, and what it calls a wrong stream."""

from __future__ import annotations

import pytest

from tests.soak import growth, kills
from tests.soak.growth import Sample
from tests.soak.kills import Heard

EVENT = '{"model": "m", "choices": [{"delta": {"content": "%s"}}]}'


def samples(memory: float, files: float, seconds: int = 601) -> list[Sample]:
    """So long of a process that gains so much a minute, and a client that comes and goes."""
    return [Sample(n, (90 + n * memory / 60, 20 + n * files / 60 + 3 * (n % 2), 15, 5)) for n in range(seconds)]


def test_what_only_swings_does_not_grow() -> None:
    assert growth.excesses(samples(memory=0.1, files=0)) == []


def test_what_is_never_given_back_is_told_with_its_size() -> None:
    memory, files = growth.excesses(samples(memory=2, files=1))
    assert memory.startswith("memory grew by 13")
    assert files.startswith("open files grew by 6.")


def test_memory_that_only_fills_in_the_first_minutes_is_not_taken_for_growth() -> None:
    assert growth.excesses(samples(memory=4, files=0, seconds=180)) == []
    assert growth.excesses(samples(memory=6, files=0, seconds=180))[0].startswith("memory grew by 11")


def heard(*data: str, **more: bool) -> Heard:
    one = Heard(**more)  # type: ignore[arg-type]
    for each in data:
        one.take(each)
    return one


A, B, ERROR, DONE = EVENT % "a", EVENT % "b", '{"error": {}}', "[DONE]"


@pytest.mark.parametrize(
    ("one", "end"),
    [
        (heard(A, B, DONE), kills.COMPLETE),
        (heard(A, B, DONE, replayed=True), kills.REPLAYED),
        (heard(A, ERROR), kills.ERROR),
        (heard(A, cut=True), kills.CUT),
        (Heard(status=503), kills.REFUSED),
    ],
)
def test_a_stream_may_end_so(one: Heard, end: str) -> None:
    assert kills.judge(one, "ab", "m") == (end, "")


@pytest.mark.parametrize(
    "one",
    [
        heard(A, DONE),
        heard(A, B),
        heard(A, A, B, DONE),
        heard(B, ERROR),
        heard(A, ERROR, DONE),
        heard(A, ERROR, ERROR),
        heard(A, B, DONE, cut=True),
        Heard(status=500),
    ],
)
def test_and_not_so(one: Heard) -> None:
    assert kills.judge(one, "ab", "m")[1]
    assert kills.judge(heard(A, B, DONE), "ab", "another")[1]
