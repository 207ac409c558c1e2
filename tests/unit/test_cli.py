"""What the commands make of words and answers."""

from __future__ import annotations

from typing import Any

import click
import pytest

from hal0app.cli.client import Event, address, authorization, read_events, segment
from hal0app.cli.printing import as_text, print_table
from hal0app.cli.slots import read_pairs
from hal0app.core.download import read_download


def test_events_are_read_with_their_ids_and_heartbeats_are_not() -> None:
    lines = b': ping\n\nid: 7\nevent: journal\ndata: {"a": 1}\n\nid: 8\ndata: {"b":\ndata: 2}\n\nid: 9\ndata: {"cut'
    assert list(read_events(lines.splitlines(keepends=True))) == [Event("7", {"a": 1}), Event("8", {"b": 2})]


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("model=123", "model", "123"),
        ("model=null", "model", None),
        ("model=a=b", "model", "a=b"),
        ("ctx_size=4096", "ctx_size", 4096),
        ("pinned=true", "pinned", True),
        ("labels=a,b", "labels", ["a", "b"]),
        ('labels=["a"]', "labels", ["a"]),
        ("llamacpp_args=--flash-attn on", "llamacpp_args", "--flash-attn on"),
        ("priority=high", "priority", "high"),
    ],
)
def test_a_pair_is_read_as_its_key_needs_it(word: str, key: str, value: Any) -> None:
    assert read_pairs((word,)) == {key: value}


@pytest.mark.parametrize("word", ["model", "=x", ""])
def test_a_word_that_is_no_pair_is_a_usage_error(word: str) -> None:
    with pytest.raises(click.UsageError, match="KEY=VALUE"):
        read_pairs((word,))


def test_an_address_has_only_what_was_asked() -> None:
    assert address("/api/journal", {"slot": None, "q": "a b", "limit": 3}) == "/api/journal?q=a+b&limit=3"
    assert address("/api/slots", {"wait": None}) == "/api/slots"
    assert segment("../x y") == "..%2Fx%20y"


def test_the_admin_key_is_sent_where_there_is_one() -> None:
    assert authorization({"HAL0_KEY": " secret\n"}) == {"Authorization": "Bearer secret"}
    assert authorization({"HAL0_KEY": ""}) == authorization({}) == {}


def test_a_table_is_aligned_and_nothing_known_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"A": "a", "LONG": "b"}, [{"a": "wide one", "b": None}, {"a": True, "b": ["x", "y"]}], "nothing")
    assert capsys.readouterr().out.splitlines() == ["A         LONG", "wide one  -", "yes       x, y"]
    assert as_text({"last": 7, "p95": None}) == "last 7, p95 -"
    print_table({"A": "a"}, [], "nothing")
    assert capsys.readouterr().out == "nothing\n"
    assert [as_text(value) for value in (0, "", [], False)] == ["0", "-", "-", "no"]


@pytest.mark.parametrize(
    ("row", "percent"),
    [
        ({"overall_bytes_downloaded": 25, "total_download_size": 100, "percent": 90}, 25.0),
        ({"total_download_size": 0}, None),
        ({"status": "completed"}, 100.0),
    ],
)
def test_the_share_of_a_download_counts_all_its_files(row: dict[str, Any], percent: float | None) -> None:
    assert read_download({"id": "model:a:b", **row}).percent == percent
