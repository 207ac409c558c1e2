"""The form of a slot: every key has an input, and what comes back says no more than was changed."""

from __future__ import annotations

import msgspec
import pytest

from hal0app.core.slot_config import SlotConfig, read_slot
from hal0app.web.slot_form import FIELDS, changes, definition, read, texts

WHOLE = read_slot(
    "chat",
    {
        "type": "llm", "model": "m", "device": "cpu", "ctx_size": 4096, "pinned": True, "idle_unload_s": 60,
        "labels": ["a", "b"], "wait_s": 2.5, "priority": 10, "system_prompt": "Be brief.",
    },
)  # fmt: skip


def test_every_key_of_a_slot_has_one_field() -> None:
    keys = [field.key for field in FIELDS]
    assert sorted(keys) == sorted({one.name for one in msgspec.structs.fields(SlotConfig)} - {"name"})


def test_a_form_that_nobody_touched_changes_nothing() -> None:
    values, problems = read(texts(WHOLE))
    assert (changes(values, WHOLE), problems) == ({}, {})


def test_only_what_was_changed_is_sent_and_a_default_takes_the_key_out() -> None:
    values, _ = read({**texts(WHOLE), "ctx_size": "8192", "pinned": "", "device": "", "labels": "a", "priority": ""})
    assert changes(values, WHOLE) == {
        "ctx_size": 8192, "pinned": None, "device": None, "labels": ["a"], "priority": None,
    }  # fmt: skip


def test_a_new_slot_says_only_what_is_not_so_anyway() -> None:
    values, _ = read({**texts(None), "type": "embedding", "model": "e"})
    assert definition(values) == {"type": "embedding", "model": "e"}


@pytest.mark.parametrize("text", ["many", "1e", "4096 tokens"])
def test_a_number_that_is_none_is_told_at_its_field(text: str) -> None:
    assert read({**texts(WHOLE), "ctx_size": text})[1] == {"ctx_size": "Write a number."}
