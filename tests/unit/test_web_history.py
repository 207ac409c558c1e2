"""A slot's history: each event once, with cause, by whom and how long it took."""

from __future__ import annotations

from typing import Any

from hal0app.core.journal import Entry
from hal0app.web.history import LINES, history


def done(kind: str, reason: str, who: str = "", **data: Any) -> Entry:
    cause = {"reason": reason, "who": who, "model": ""}
    return Entry(
        1000.0, kind, "tiny could not be loaded: no memory", slot="a", model="tiny", data={"cause": cause, **data}
    )


def left(reason: str, why: str, to: str = "offline") -> Entry:
    return Entry(
        1000.0, "slot.state", f"a is {to}: {why}", slot="a", data={"from": "ready", "to": to, "reason": reason}
    )


def words(entry: Entry) -> tuple[str, str, str, str] | None:
    told = history([entry])
    return (told[0].word, told[0].cause, told[0].by, told[0].took) if told else None


def test_a_load_tells_for_whom_and_how_long() -> None:
    assert words(done("slot.load", "request", load_ms=420)) == ("Loaded", "tiny", "a request", "0.4 s")


def test_a_failed_load_tells_what_went_wrong() -> None:
    told = words(done("slot.load", "operator", "you", code="model.load_failed"))
    assert told == ("Failed", "tiny could not be loaded: no memory", "you", "")


def test_a_loss_is_told_with_its_cause() -> None:
    assert words(left("displaced", "evicted to make room for b (auto-reloads on next request)")) == (
        "Evicted",
        "to make room for b",
        "hal0",
        "",
    )
    assert words(left("evicted", "model evicted")) == ("Evicted", "model evicted", "Lemonade", "")


def test_what_an_operation_tells_is_not_told_by_the_change_of_state_too() -> None:
    assert words(left("operator", "unloaded by you")) is None
    assert words(left("", "", "ready")) is None
    assert words(left("load_failed", "no memory", "error")) is None


def test_a_change_of_the_definition_is_told() -> None:
    assert words(Entry(1.0, "slot.config", "slot a was changed", slot="a", agent="you")) == (
        "Changed",
        "",
        "you",
        "",
    )


def test_the_newest_are_kept() -> None:
    assert len(history([done("slot.load", "request")] * (LINES + 5))) == LINES
