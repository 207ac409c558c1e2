"""services/answer: where a request went, as its answer explains it."""

from __future__ import annotations

import pytest

from hal0app.services.answer import Trip


@pytest.mark.parametrize(
    ("name", "told"),
    [("a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"), ("\u00e4", "%C3%A4"), ("user.Gemma-3 (4B)", "user.Gemma-3 (4B)")],
)
def test_a_name_is_told_in_one_line_of_plain_text(name: str, told: str) -> None:
    assert ("X-Hal0-Model", told) in Trip(model=name).headers()


def test_what_is_not_known_is_not_told() -> None:
    assert Trip(slot="primary", route="", path="").headers() == [
        ("X-Hal0-Slot", "primary"),
        ("X-Hal0-Queue-Ms", "0"),
        ("X-Hal0-Load-Ms", "0"),
    ]
