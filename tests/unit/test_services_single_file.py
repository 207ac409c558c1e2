"""services/single_file: questions to a daemon that may hang."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from hal0app.services.single_file import SingleFile
from tests.support.waiting import eventually
from tests.unit.fakes import Asking


class Oracle:
    """Answers with the name it is asked for, once it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.at_once = self.most_at_once = 0

    def __call__(self, name: str) -> str:
        self.asked.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.open.wait(20)
        self.at_once -= 1
        return f"{name}!"


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


def ask(file: SingleFile, oracle: Oracle, name: str, wait_s: float = 20) -> Any:
    return file.put(name, partial(oracle, name), wait_s)


def test_all_who_ask_the_same_share_one_question(oracle: Oracle) -> None:
    file = SingleFile()
    asking = [Asking(partial(ask, file, oracle, "a")) for _ in range(10)]
    eventually(lambda: file.open("a") and file._open["a"].waiting == 10)
    oracle.open.set()
    assert {one.result().result() for one in asking} == {"a!"}
    assert oracle.asked == ["a"]


def test_different_questions_are_asked_one_at_a_time(oracle: Oracle) -> None:
    file = SingleFile()
    oracle.open.set()
    asking = [Asking(partial(ask, file, oracle, f"q{n}")) for n in range(20)]
    assert [one.result().result() for one in asking] == [f"q{n}!" for n in range(20)]
    assert oracle.most_at_once == 1


def test_who_waits_too_long_gives_up_and_its_question_is_dropped_if_it_was_not_asked_yet(oracle: Oracle) -> None:
    file = SingleFile()
    first = ask(file, oracle, "first", 0.05)
    second = ask(file, oracle, "second", 0.05)
    assert not first.done.is_set()
    assert not second.done.is_set()
    oracle.open.set()
    assert ask(file, oracle, "third").result() == "third!"
    assert oracle.asked == ["first", "third"]
    assert first.result() == "first!"


def test_a_question_for_nobody_is_asked_in_any_case(oracle: Oracle) -> None:
    file = SingleFile()
    oracle.open.set()
    assert ask(file, oracle, "a", 0).done.wait(20)


def test_an_error_is_raised_for_everybody_who_waits_and_the_next_question_is_asked(oracle: Oracle) -> None:
    file = SingleFile()

    def fail() -> None:
        raise KeyError("no")

    question = file.put("a", fail, 20)
    with pytest.raises(KeyError):
        question.result()
    oracle.open.set()
    assert ask(file, oracle, "a").result() == "a!"
