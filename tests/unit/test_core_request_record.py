"""core/request_record and core/vitals: names out of bounded sets, text that can be stored, figures only where known."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.request_record import OTHER, RequestRecord, cut, endpoint_name, is_request_id
from hal0app.core.vitals import UNKNOWN, KvUsage, kv_derived, kv_reported
from tests.unit.test_reference import DOCS


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("chat/completions", "chat/completions"),
        ("reranker", "rerank"),
        ("tokenize", "tokenize"),
        ("no/such/path", OTHER),
        ("load", OTHER),
    ],
)
def test_an_endpoint_has_one_name_out_of_a_bounded_set(path: str, name: str) -> None:
    assert endpoint_name(path) == name


@pytest.mark.parametrize("text", ["a", "req-1_2.3", "~" * 128])
def test_a_visible_id_of_a_request_is_taken(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize("text", ["", "a b", "a\n", "ü", "a" * 129, "\x7f"])
def test_any_other_id_of_a_request_is_not_taken(text: str) -> None:
    assert not is_request_id(text)


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_stored(text: str) -> None:
    told = cut(text)
    assert told is None if not text else len((told or "").encode()) > 0


def sequence(**fields: Any) -> dict[str, Any]:
    return {"id": 0, "n_ctx": 256, "is_processing": False, **fields}


# As llama.cpp answered while it had generated 24 tokens after a prompt of 21, and after the answer.
BUSY = sequence(
    n_prompt_tokens=44,
    n_prompt_tokens_processed=21,
    n_prompt_tokens_cache=0,
    next_token=[{"n_decoded": 24, "n_remain": 176}],
)
RESTING = sequence(n_prompt_tokens=220, n_prompt_tokens_processed=0, n_prompt_tokens_cache=0)


@pytest.mark.parametrize(
    ("sequences", "ratio"),
    [
        ([sequence(), BUSY], 45 / 512),
        ([RESTING], 220 / 256),
        ([sequence(n_prompt_tokens=21, n_prompt_tokens_cache=21, next_token={"n_decoded": 24})], 45 / 256),
        ([sequence(n_prompt_tokens=300)], 1.0),
    ],
)
def test_the_use_of_a_cache_is_derived_from_the_sequences(sequences: object, ratio: float) -> None:
    assert kv_derived(sequences) == KvUsage(ratio, derived=True)


@pytest.mark.parametrize(
    "sequences",
    [None, {}, [], [sequence()], ["x"], [{"n_prompt_tokens": 5}], [sequence(n_ctx=True, n_prompt_tokens=5)]],
)
def test_the_use_of_a_cache_that_is_not_told_is_not_known(sequences: object) -> None:
    assert kv_derived(sequences) is None


def test_the_gauge_of_a_build_that_has_one_is_reported() -> None:
    text = "# TYPE llamacpp:kv_cache_usage_ratio gauge\nllamacpp:kv_cache_usage_ratio 0.25\n"
    assert kv_reported(text) == KvUsage(0.25, derived=False)


@pytest.mark.parametrize("text", ["", "llamacpp:kv_cache_usage_ratio nan\n", "llamacpp:kv_cache_usage_ratio 1.2.3\n"])
def test_no_gauge_is_nothing_and_not_zero(text: str) -> None:
    assert kv_reported(text) is None


def test_what_is_not_known_of_a_slot_is_null() -> None:
    nothing = {"ttft_ms": {"last": None, "p50": None, "p95": None}, "tokens_per_s": None}
    assert UNKNOWN.as_json() == {**nothing, "memory_bytes": None, "kv_usage": None}


def test_the_page_lists_every_field_of_a_record() -> None:
    part = (DOCS / "api.md").read_text().split("## Request records", 1)[1]
    cells = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == {
        one.name for one in fields(RequestRecord)
    }
