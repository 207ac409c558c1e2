"""Answers recorded from a real lemond 11.7.0 (tests/data/lemond), and how to compare with their shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "data" / "lemond"


def response(name: str) -> dict[str, Any]:
    """The recorded response: `status`, `headers`, `body`."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())["response"]
    return found


def body(name: str) -> Any:
    return response(name)["body"]


def events(name: str) -> list[dict[str, Any]]:
    """The frames of a recorded stream."""
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())["events"]
    return found


def assert_like(actual: Any, expected: Any, at: str = "body") -> None:
    """Every recorded key is there with a value of the same JSON type, all the way down. More keys are fine.

    A recorded null matches everything; lists are compared by their first elements.
    """
    if expected is None:
        return
    number = isinstance(expected, int | float) and not isinstance(expected, bool)
    alike = isinstance(actual, int | float) if number else isinstance(actual, type(expected))
    assert alike, f"{at}: {actual!r} is not like {expected!r}"
    if isinstance(expected, dict):
        missing = expected.keys() - actual.keys()
        assert not missing, f"{at} lacks {sorted(missing)}"
        for key, value in expected.items():
            assert_like(actual[key], value, f"{at}.{key}")
    elif isinstance(expected, list) and expected:
        assert actual, f"{at} is empty"
        assert_like(actual[0], expected[0], f"{at}[0]")
