"""core/json_body: a body read no further than needed, held against a full parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.json_body import MENDED_BYTES, NotJson, read

TEXT = st.text(st.characters(blacklist_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["model", "messages", "stream", "Model", "mod\u0065l", 'mo"del', "modèle", ""]) | TEXT
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)


def written(value: Any, ascii_only: bool, spaced: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, indent=2 if spaced else None).encode()


@given(OBJECTS, TEXT, st.booleans(), st.booleans())
def test_another_model_changes_nothing_else(told: dict[str, Any], model: str, ascii_only: bool, spaced: bool) -> None:
    raw = written(told, ascii_only, spaced)
    assert json.loads(read(raw).renamed(model)) == {**told, "model": model}
    assert list(json.loads(read(raw).renamed(model))) == list({**told, "model": model})


@given(OBJECTS, st.booleans(), st.booleans())
def test_fields_and_scalars_are_those_of_a_full_parse(told: dict[str, Any], ascii_only: bool, spaced: bool) -> None:
    body = read(written(told, ascii_only, spaced))
    assert set(body.fields) == set(told)
    assert {name: json.loads(bytes(value)) for name, value in body.fields.items()} == told
    for name, value in body.scalars([*told, "nowhere"]).items():
        assert value == told[name]
    assert {name for name in told if body.lacks(name)} == {
        name for name, value in told.items() if value in (None, "", []) and value is not False and value != 0
    }


def test_a_body_is_held_once_however_often_its_model_is_named_anew() -> None:
    body = read(b'{"model": "primary", "a": [1]}')
    came = body.raw
    assert body.sent_as("primary", "primary") is came
    for model in ("m", "m", "n", "primary"):
        sent = body.sent_as(model, "primary")
        assert json.loads(sent) == {"model": model, "a": [1]}
        assert body.sent_as(model, "primary") is sent is body.raw
        assert body.fields == {}


def test_a_number_beyond_reach_is_no_scalar_and_passes_as_it_is() -> None:
    body = read(b'{"model": "m", "temperature": 1e400, "seed": 99999999999999999999}')
    assert body.scalars(("model", "temperature", "seed")) == {"model": "m", "seed": 99999999999999999999}
    assert b"1e400" in body.renamed("n")


@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE+-\\untrfalse \n\u00e9', max_size=40).map(str.encode))
def test_what_a_full_parser_refuses_is_refused_and_what_it_takes_is_taken(raw: bytes) -> None:
    try:
        raw.decode()
        whole = isinstance(json.loads(raw, parse_constant=lambda word: pytest.fail), dict)
    except ValueError:
        whole = False
    try:
        read(raw)
        taken = True
    except NotJson:
        taken = False
    assert taken == whole or b"N" in raw or b"I" in raw


@pytest.mark.parametrize(
    ("raw", "new"),
    [
        (b'{"model":"a","n":12345678901234567890123.4500}', b'{"model":"m","n":12345678901234567890123.4500}'),
        (b'{ "x" : [ 1 , 2 ],\n "model" : "a" }', b'{"x":[ 1 , 2 ],"model":"m"}'),
        (b'{"x":"\\u00e9\\/ \xc3\xa9"}', b'{"x":"\\u00e9\\/ \xc3\xa9","model":"m"}'),
        (b'{"model":"a","x":{"model":"b"},"model":"c"}', b'{"model":"m","x":{"model":"b"}}'),
        (b'{"mod\\u0065l":"a"}', b'{"model":"m"}'),
        (b'{"x":"{\\"model\\":\\"a\\"}"}', b'{"x":"{\\"model\\":\\"a\\"}","model":"m"}'),
        (b"{}", b'{"model":"m"}'),
        (b'{"n":1e999,"z":-0}', b'{"n":1e999,"z":-0,"model":"m"}'),
    ],
    ids=["number", "space", "escapes", "twice", "escaped-key", "in-a-text", "empty", "odd-numbers"],
)
def test_values_keep_their_bytes(raw: bytes, new: bytes) -> None:
    assert read(raw).renamed("m") == new


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "line 1, column 2"),
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "b": nul}', "line 2, column 7"),
        (b'{"a":\n\n"\xff"}', "not UTF-8 (line 3, column 2"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b'{"a": "\x01"}', "line 1, column 8"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": "' + b"x" * MENDED_BYTES + b'\\ud83d"}', "not valid JSON"),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place(raw: bytes, says: str) -> None:
    with pytest.raises(NotJson) as problem:
        read(raw)
    assert says in str(problem.value)


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        (b'{"a":"cut \\ud83d"}', "cut \ufffd"),
        (b'{"a":"\\ude00 low"}', "\ufffd low"),
        (b'{"a":"\\ud83d\\ude00 \\ud83d"}', "\U0001f600 \ufffd"),
        (b'{"a":"\\ud83d\\ud83d\\ude00"}', "\ufffd\U0001f600"),
        (b'{"a":"\\\\ud83d \\ud83d"}', "\\ud83d \ufffd"),
    ],
)
def test_half_a_character_becomes_the_sign_for_one_that_is_lost(raw: bytes, mended: str) -> None:
    assert json.loads(read(raw).raw)["a"] == mended


def test_a_mark_at_the_beginning_is_no_part_of_the_body() -> None:
    assert read(b'\xef\xbb\xbf{"a":1}').raw == b'{"a":1}'


def test_only_text_is_a_name() -> None:
    body = read(b'{"a":"x","b":null,"c":1,"d":[],"e":{}}')
    assert [name for name in "abcdef" if body.is_name(name)] == ["a", "b", "f"]
