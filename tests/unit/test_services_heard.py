"""Lemonade's own log, kept for a person to read."""

from __future__ import annotations

import pytest

from hal0app.services.heard import KEEP, LONGEST, Heard
from hal0app.web.log import Filters, heard_line
from tests.unit.fakes import HandClock


@pytest.fixture
def heard() -> Heard:
    return Heard(HandClock(), lambda: True)


def test_lines_have_a_number_a_time_and_their_level(heard: Heard) -> None:
    for text in ("[Info] (Server) up", "[Error] (LlamaCpp) no", "[Warning] hm", "plain"):
        heard.hear(text)
    first = heard.lines()[0].number
    told = [(one.number - first, one.level) for one in heard.lines()]
    assert told == [(0, "info"), (1, "error"), (2, "warning"), (3, "info")]


def test_what_moves_a_cursor_is_left_out_and_a_long_line_is_cut(heard: Heard) -> None:
    heard.hear("\x1b[31mred\x1b[0m\r\x07" + "x" * 5000)
    assert heard.lines()[0].text == ("red" + "x" * 5000)[:LONGEST]


def test_the_newest_are_kept(heard: Heard) -> None:
    for number in range(KEEP + 5):
        heard.hear(str(number))
    assert (len(heard.lines()), heard.lines()[0].text) == (KEEP, "5")


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ({}, ["a [Error]", "b"]),
        ({"level": "error"}, ["a [Error]"]),
        ({"level": "warning"}, ["a [Error]"]),
        ({"q": "B"}, ["b"]),
    ],
    ids=str,
)
def test_lines_are_filtered_by_level_and_words(heard: Heard, query: dict[str, str], texts: list[str]) -> None:
    heard.hear("a [Error]")
    heard.hear("b")
    lines = map(heard_line, heard.lines())
    assert [one.message for one in lines if Filters.of(query).fits(one, 0.0)] == texts
