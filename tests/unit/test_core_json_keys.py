"""core/json_keys: the keys at the top of an object, counted without parsing it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hal0app.core import json_keys

TEXT = st.text('ab"\\:{}[],é \n', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def counted(raw: bytes) -> int:
    return list(json_keys.counting(raw))[-1]


@given(st.dictionaries(TEXT, VALUES, max_size=6), st.integers(1, 9), st.booleans())
def test_the_count_is_that_of_a_parser_wherever_the_pieces_end(told: dict[str, Any], piece: int, spaced: bool) -> None:
    before, json_keys.PIECE = json_keys.PIECE, piece
    try:
        assert counted(json.dumps(told, ensure_ascii=False, indent=1 if spaced else None).encode()) == len(told)
    finally:
        json_keys.PIECE = before


def test_a_million_keys_are_known_after_one_piece() -> None:
    raw = json.dumps({str(number): 0 for number in range(100_000)}).encode()
    assert json_keys.is_suspicious(raw)
    assert next(json_keys.counting(raw)) > json_keys.MOST


def test_keys_in_texts_and_below_are_none_at_the_top() -> None:
    within = json.dumps({"a": {"b": 1}})
    raw = json.dumps({"messages": [{"role": "user", "content": within * 50}] * 2000}).encode()
    assert json_keys.is_suspicious(raw)
    assert counted(raw) == 1
