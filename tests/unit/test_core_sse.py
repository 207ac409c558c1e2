"""core/sse: where events end, what the first one says, and what hal0 writes itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core import sse

RECORDED = Path(__file__).resolve().parents[1] / "data" / "lemond"


@pytest.mark.parametrize(
    ("buffer", "events", "rest"),
    [
        (b"", [], b""),
        (b"data: a", [], b"data: a"),
        (b"data: a\n", [], b"data: a\n"),
        (b"data: a\n\n", [b"data: a\n\n"], b""),
        (b"data: a\r\n\r\nda", [b"data: a\r\n\r\n"], b"da"),
        (b"data: a\r\rda", [b"data: a\r\r"], b"da"),
        (b"data: a\r\n\r", [], b"data: a\r\n\r"),
        (b": c\n\ndata: a\n\ndata: b\n\n", [b": c\n\n", b"data: a\n\n", b"data: b\n\n"], b""),
    ],
)
def test_events_end_with_a_blank_line(buffer: bytes, events: list[bytes], rest: bytes) -> None:
    assert sse.split(buffer) == (events, rest)


streams = st.lists(
    st.sampled_from([b"data: x", b": ping", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"e", b"\xff", "é".encode()])
).map(b"".join)


@given(streams, st.lists(st.integers(0, 40), max_size=8))
def test_where_a_stream_is_cut_into_pieces_does_not_change_its_events(stream: bytes, cuts: list[int]) -> None:
    whole, rest = sse.split(stream)
    found, buffer, start = [], b"", 0
    for cut in [*sorted(cuts), len(stream)]:
        events, buffer = sse.split(buffer + stream[start:cut])
        found += events
        start = max(start, cut)
    assert (found, buffer) == (whole, rest)
    assert b"".join(whole) + rest == stream


@given(streams)
def test_the_first_event_with_data_is_the_first_whatever_comes_before_it(stream: bytes) -> None:
    whole, _ = sse.split(stream)
    assert sse.first_data(stream) == next((told for event in whole if (told := sse.data(event)) is not None), None)


@given(st.binary(max_size=80))
def test_no_bytes_make_reading_fail(buffer: bytes) -> None:
    told = sse.first_data(buffer)
    assert told is None or isinstance(told, str)
    assert sse.failure(told or "") is None or told


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (b"data: a\n\n", "a"),
        (b"data:a\n\n", "a"),
        (b"data:  a\n\n", " a"),
        (b"data: a\ndata: b\n\n", "a\nb"),
        (b"event: x\r\ndata: a\r\nid: 1\r\n\r\n", "a"),
        (b": comment\n\n", None),
        (b"event: x\n\n", None),
        (b"data:\n\n", ""),
        (b"data: \xff\n\n", "\ufffd"),
    ],
)
def test_the_data_of_an_event_is_its_data_lines(event: bytes, text: str | None) -> None:
    assert sse.data(event) == text


def test_comments_are_not_the_first_event() -> None:
    assert sse.first_data(b": ping\n\n: ping\n\n") is None
    assert sse.first_data(b": ping\n\ndata: a\n\ndata: b\n\n") == "a"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", None),
        ("[DONE]", None),
        ("{", None),
        ('{"choices": []}', None),
        ('{"error": null}', None),
        ('{"error": "text"}', {"message": "text"}),
        ('{"error": {"type": "x"}}', {"type": "x"}),
        ('{"error": 5}', None),
        ("[1]", None),
        ('{"error": ' + "[" * 100_000 + "]" * 100_000 + "}", None),
    ],
    ids=lambda one: repr(one)[:30],
)
def test_an_error_event_is_known_by_its_error(text: str, error: dict[str, Any] | None) -> None:
    assert sse.failure(text) == error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        ({"type": "model_not_loaded"}, True),
        ({"code": "model_not_loaded"}, True),
        ({"type": "backend_error", "details": {"code": "backend_unavailable"}}, True),
        ({"type": "backend_error", "details": {"code": "backend_watchdog_reset", "retryable": True}}, True),
        ({"type": "backend_error", "details": "backend_unavailable"}, False),
        ({"type": "invalid_request"}, False),
        ({"type": "model_not_found"}, False),
        ({"message": "model_not_loaded"}, False),
        ({"type": ["model_not_loaded"]}, False),
        ({"code": {"model_not_loaded": 1}}, False),
        ({}, False),
    ],
)
def test_only_a_lost_model_is_worth_a_replay(error: dict[str, Any], again: bool) -> None:
    assert sse.replayable(error) is again


def test_the_stream_lemond_sent_when_a_backend_was_killed_ends_in_an_error_event() -> None:
    body = json.loads((RECORDED / "h10_stream_killed_midway.json").read_text())["response"]["body"]
    events, rest = sse.split(body.encode())
    failures = [sse.failure(sse.data(one) or "") for one in events]
    assert rest == b""
    assert failures[:-1] == [None] * (len(events) - 1)
    assert failures[-1] is not None
    assert sse.replayable(failures[-1])


@given(st.text())
def test_a_frame_is_one_event_and_carries_its_text(text: str) -> None:
    framed = sse.frame(text.encode("utf-8", "replace").decode(), event="x")
    events, rest = sse.split(framed)
    assert (len(events), rest) == (1, b"")
    sent = text.encode("utf-8", "replace").decode()
    assert sse.data(framed) == sent.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(st.characters(codec="utf-8")))
def test_a_comment_is_one_event_without_data(text: str) -> None:
    events, rest = sse.split(sse.comment(text))
    assert (len(events), rest) == (1, b"")
    assert sse.first_data(sse.comment(text)) is None


def test_frames_are_events_in_order() -> None:
    assert b"".join(sse.frames(iter(["a", "b"]))) == b"data: a\n\ndata: b\n\n"
