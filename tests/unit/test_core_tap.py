"""core/tap, core/unchunked, core/usage: what passed is told the same however the bytes were cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.dialect import Dialect, error_body
from hal0app.core.framing import Chunked, Malformed
from hal0app.core.tap import ENDS, Figures, Tap
from hal0app.core.unchunked import Unchunked

DONE = b"data: [DONE]\n\n"


def event(value: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def chat(**delta: Any) -> bytes:
    """A chunk of a chat completion as llama.cpp writes it."""
    return event({"choices": [{"finish_reason": None, "index": 0, "delta": delta}], "object": "chat.completion.chunk"})


def anthropic(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


ROLE = chat(role="assistant", content=None)
USAGE = {"completion_tokens": 7, "prompt_tokens": 21, "total_tokens": 28}
TIMINGS = {"cache_n": 20, "prompt_n": 1, "predicted_n": 7, "predicted_ms": 70.0, "predicted_per_second": 100.0}
CHAT = ROLE + chat(content="Hel") + chat(content="lo") + chat() + DONE
COUNTED = (
    ROLE + chat(content="a") + chat(content="b") + event({"choices": [], "usage": USAGE, "timings": TIMINGS}) + DONE
)
COMPLETION = b"".join(event({"choices": [{"text": text, "index": 0}]}) for text in (" in", " bad", "")) + DONE
MESSAGES = (
    anthropic(
        "message_start", message={"usage": {"input_tokens": 1, "cache_read_input_tokens": 20, "output_tokens": 1}}
    )
    + anthropic("ping")
    + anthropic("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + anthropic("content_block_delta", index=0, delta={"type": "text_delta", "text": " in"})
    + anthropic("content_block_delta", index=0, delta={"type": "text_delta", "text": " how"})
    + anthropic("content_block_stop", index=0)
    + anthropic("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
    + anthropic("message_stop")
)
RESPONSES = (
    anthropic("response.created", response={"status": "in_progress"})
    + anthropic("response.output_item.added", item={"content": [], "type": "message"})
    + anthropic("response.output_text.delta", item_id="msg_1", delta=" in")
    + anthropic("response.output_text.delta", item_id="msg_1", delta=" bad")
    + anthropic("response.output_text.done", item_id="msg_1", text=" in bad")
    + anthropic(
        "response.completed",
        response={"output": [{"text": " in bad" * 2000}], "usage": {"input_tokens": 21, "output_tokens": 2}},
    )
)
BROKEN_OFF = MESSAGES.split(b"event: content_block_stop")[0]
FAILED = ROLE + event({"error": {"message": "gone", "type": "server_error", "code": "upstream.protocol"}})
TOOL = ROLE + chat(tool_calls=[{"index": 0, "function": {"name": "get", "arguments": ""}}])
THOUGHT = ROLE + chat(reasoning_content="Hm") + chat(content="Yes")
COMMENTED = b": hal0 loading primary 5s\n\n: ping\n\n" + CHAT
CRLF = CHAT.replace(b"\n", b"\r\n")
SPACED = ROLE + b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n' * 2 + DONE
QUOTED = ROLE + chat(content='{"usage":{"completion_tokens":1},"content":"x"}')
STREAMS = [
    *(CHAT, COUNTED, COMPLETION, MESSAGES, RESPONSES, BROKEN_OFF, FAILED, TOOL, THOUGHT, COMMENTED, CRLF, SPACED),
    QUOTED,
]
BODIES = [
    json.dumps({"choices": [{"message": {"content": "x" * 9000}}], "usage": USAGE, "timings": TIMINGS}).encode(),
    json.dumps({"usage": {"prompt_tokens": 3, "total_tokens": 3}, "data": [{"embedding": [0.25] * 5000}]}).encode(),
    b'{"error":{"code":400,"message":"no","type":"invalid_request_error"}}',
    b"ID3\x04" + bytes(range(256)) * 50,
    b"",
    b"ab",
]


def framed(body: bytes, *cuts: int) -> bytes:
    """The body in chunks that end at `cuts`."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    chunks = (b"%x\r\n%s\r\n" % (b - a, body[a:b]) for a, b in pairwise(places))
    return b"".join(chunks) + b"0\r\nX-Trailer: data: 1\r\n\r\n"


def cut(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(body), *(one % (len(body) + 1) for one in cuts)})
    return [body[a:b] for a, b in pairwise(places)]


def tell(pieces: Iterable[bytes], streams: bool = True, tick: Callable[[], float] = lambda: 5.0) -> Figures:
    tap = Tap(tick, streams)
    for piece in pieces:
        tap(piece)
    return tap.figures()


def sizeless(figures: Figures) -> Figures:
    return Figures(**{**figures.__dict__, "size": 0})


cuts = st.lists(st.integers(0, 100_000), max_size=60)


@given(st.sampled_from(STREAMS), cuts)
def test_a_stream_tells_the_same_however_it_is_cut(stream: bytes, places: list[int]) -> None:
    assert tell(cut(stream, places)) == tell([stream])


@given(st.sampled_from(STREAMS), cuts, cuts)
def test_a_stream_tells_the_same_with_the_framing_of_its_chunks(
    stream: bytes, chunks: list[int], places: list[int]
) -> None:
    assert sizeless(tell(cut(framed(stream, *chunks), places))) == sizeless(tell([stream]))


def one_by_one(stream: bytes) -> list[bytes]:
    """A chunk for each event, as servers send them."""
    events = [one + b"\n\n" for one in stream.split(b"\n\n") if one]
    return [b"%x\r\n%s\r\n" % (len(one), one) for one in events]


MIXED = st.lists(
    st.sampled_from([one for stream in STREAMS for one in stream.split(b"\n\n") if one] + [b"data: x\n" + CHAT[:-2]]),
    max_size=12,
).map(lambda events: b"".join(one + b"\n\n" for one in events))


@given(st.sampled_from(STREAMS) | MIXED, st.integers(1, 4), cuts)
def test_a_stream_tells_the_same_in_whole_chunks(stream: bytes, times: int, places: list[int]) -> None:
    chunks = [one for one in one_by_one(stream) for _ in range(times)]
    events = b"".join(one[one.index(b"\n") + 1 : -2] for one in chunks)
    assert sizeless(tell(chunks)) == sizeless(tell([events]))
    assert tell(cut(b"".join(chunks), places)) == tell(chunks)


SPOILT: list[Callable[[bytes], bytes]] = [
    lambda chunk: chunk,
    lambda chunk: chunk[:-1],
    lambda chunk: chunk[:-2] + b"\r\r",
    lambda chunk: b"%x%s" % ((int(chunk[:1], 16) + 1) % 16, chunk[1:]),
]


@given(st.sampled_from(STREAMS) | MIXED.filter(bool), st.integers(1, 4), st.integers(0, 40), st.sampled_from(SPOILT))
def test_what_repeats_is_a_whole_chunk_for_the_framing_too(
    stream: bytes, times: int, place: int, spoilt: Callable[[bytes], bytes]
) -> None:
    """The relay passes such a piece on without asking the framing, which goes on after it as if it had been asked."""
    chunks = [one for one in one_by_one(stream) for _ in range(times)]
    first = place % len(chunks)
    chunks[first:] = map(spoilt, chunks[first:])
    tap, asked, spared = Tap(lambda: 1.0, streams=True), Chunked(), Chunked()
    for piece in chunks:
        repeats = tap.repeats(piece)
        if repeats:
            assert (repeats, asked.passes(piece)) == (len(piece), True)
        elif _passed(asked, piece) != _passed(spared, piece) or asked.done:
            return
        else:
            tap.see(piece)
        assert (spared.boundary, spared.tail[-2:]) == (asked.boundary, asked.tail[-2:])


def _passed(framing: Chunked, piece: bytes) -> object:
    try:
        return framing.feed(piece)
    except Malformed:
        framing.done = True
        return None


@pytest.mark.parametrize("stream", [CHAT, COUNTED, COMPLETION, MESSAGES, RESPONSES, THOUGHT])
def test_an_event_like_the_last_one_is_compared_only(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [one for one in one_by_one(stream) if tell([one[one.index(b"\n") + 1 : -2]]).events]
    tap = Tap(lambda: 1.0, streams=True)
    for one in [*one_by_one(ROLE), *alike[:1] * 2]:
        tap(one)
    monkeypatch.setattr(Tap, "_look_into", None)
    tap(alike[0])
    assert tap._events == 3


def test_events_that_are_compared_only_count_with_their_times() -> None:
    now = iter([1.0, 1.5, 4.5, 5.0])
    chunks = one_by_one(ROLE + chat(content="a") + chat(content="b") + chat(content="c") + chat(content="d") + DONE)
    told = tell(chunks, tick=lambda: next(now))
    assert (told.first, told.last, told.events, told.longest_gap_s) == (1.0, 5.0, 4, 3.0)


@given(st.sampled_from(BODIES), cuts, cuts, st.booleans())
def test_a_body_tells_the_same_however_it_is_cut_and_framed(
    body: bytes, chunks: list[int], places: list[int], framing: bool
) -> None:
    whole = framed(body, *chunks) if framing else body
    assert sizeless(tell(cut(whole, places), streams=False)) == sizeless(tell([body], streams=False))


@given(st.lists(st.binary(max_size=300)), st.booleans())
def test_bytes_without_any_sense_are_only_counted(pieces: list[bytes], streams: bool) -> None:
    assert tell(pieces, streams).size == sum(map(len, pieces))


@pytest.mark.parametrize("stream", STREAMS)
def test_every_byte_may_be_a_piece_of_its_own(stream: bytes) -> None:
    assert tell(stream[at : at + 1] for at in range(len(stream))) == tell([stream])


@pytest.mark.parametrize(
    ("stream", "events", "tokens_in", "tokens_out", "estimated"),
    [
        (CHAT, 2, None, 2, True),
        (COUNTED, 2, 21, 7, False),
        (COMPLETION, 2, None, 2, True),
        (MESSAGES, 2, 21, 5, False),
        (RESPONSES, 2, 21, 2, False),
        (BROKEN_OFF, 2, 21, 2, True),
        (FAILED, 0, None, None, False),
        (TOOL, 1, None, 1, True),
        (THOUGHT, 2, None, 2, True),
        (COMMENTED, 2, None, 2, True),
        (CRLF, 2, None, 2, True),
        (SPACED, 2, None, 2, True),
        (QUOTED, 1, None, 1, True),
    ],
)
def test_content_is_told_from_everything_else(
    stream: bytes, events: int, tokens_in: int | None, tokens_out: int | None, estimated: bool
) -> None:
    told = tell([stream])
    assert (told.events, told.tokens_in, told.tokens_out, told.estimated) == (events, tokens_in, tokens_out, estimated)


def test_the_first_token_is_neither_the_role_nor_a_comment() -> None:
    now = iter([3.0, 3.5, 5.0])
    pieces = [b": ping\n\n", ROLE, chat(content=""), chat(content="a"), chat(content="b"), chat(content="c"), DONE]
    told = tell(pieces, tick=lambda: next(now))
    assert (told.first, told.last, told.gap_s, told.longest_gap_s) == (3.0, 5.0, 1.0, 1.5)
    assert told.tokens_per_s == 1.0


def test_an_event_counts_when_it_is_whole() -> None:
    ticks = iter([1.0])
    tap = Tap(lambda: next(ticks), streams=True)
    tap(chat(content="a")[:-2])
    assert tap.figures().first is None
    tap(b"\n\n")
    assert tap.figures().first == 1.0


def test_what_the_backend_measured_is_believed_before_our_own_figures() -> None:
    now = iter([1.0, 9.0])
    told = tell([ROLE, chat(content="a"), chat(content="b"), event({"timings": TIMINGS})], tick=lambda: next(now))
    assert (told.tokens_in, told.tokens_out, told.tokens_per_s, told.estimated) == (21, 7, 100.0, False)


def test_a_single_token_has_no_speed() -> None:
    assert tell([ROLE, chat(content="a"), DONE]).tokens_per_s is None
    one = {"predicted_n": 1, "predicted_per_second": 1e5}
    assert tell([json.dumps({"timings": one}).encode()], streams=False).tokens_per_s is None


@pytest.mark.parametrize("value", [True, -1, 1.5, "7", None, 10**30, [], {}])
def test_nonsense_instead_of_a_count_is_not_believed(value: Any) -> None:
    body = json.dumps({"usage": {"completion_tokens": value, "prompt_tokens": value}}).encode()
    told = tell([body], streams=False)
    assert (told.tokens_in, told.tokens_out) == (None, None)


def test_a_body_that_is_no_stream_tells_its_tokens_wherever_they_stand() -> None:
    last, first = (tell([body], streams=False) for body in BODIES[:2])
    assert (last.tokens_in, last.tokens_out, last.tokens_per_s, last.first) == (21, 7, 100.0, None)
    assert (first.tokens_in, first.tokens_out, first.estimated) == (3, None, False)


def test_an_error_is_told_by_its_word() -> None:
    assert tell([FAILED]).error == "upstream.protocol"
    assert tell([BODIES[2]], streams=False).error == "invalid_request_error"
    assert tell([CHAT]).error is None


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("context_length_exceeded: 9 tokens", "context_length_exceeded"),
        ("upstream.protocol: gone", "upstream.protocol"),
        ("sorry: no", "api_error"),
        ("Upstream.x: no", "api_error"),
        ("", "api_error"),
    ],
)
def test_a_code_that_leads_the_message_of_an_error_of_anthropics_is_its_word(message: str, word: str) -> None:
    body = json.dumps(error_body(Dialect.ANTHROPIC, 500, message, None, None)).encode()
    assert tell([body], streams=False).error == word
    assert tell([b"event: error\ndata: " + body + b"\n\n"]).error == word


def test_a_tap_keeps_little_of_a_long_answer() -> None:
    tap = Tap(lambda: 0.0, streams=True)
    for _ in range(100):
        tap(b"data: " + b"x" * 100_000)
    assert len(tap._kept) <= 2 * ENDS
    body = Tap(lambda: 0.0, streams=False)
    for _ in range(100):
        body(b"x" * 100_000)
    assert len(body._kept) <= 2 * ENDS


@given(st.binary(max_size=400), cuts, cuts)
def test_the_framing_of_chunks_comes_off(body: bytes, chunks: list[int], places: list[int]) -> None:
    unframe = Unchunked()
    assert b"".join(map(unframe, cut(framed(body, *chunks), places))) == body


@pytest.mark.parametrize("nonsense", [b"zz\r\nabc", b"-5\r\nabc", b"\r\n\r\n", b"5" * 9000])
def test_after_bytes_that_are_no_framing_nothing_comes_out(nonsense: bytes) -> None:
    unframe = Unchunked()
    assert unframe(b"1\r\na\r\n") == b"a"
    assert unframe(nonsense) == b""
    assert unframe(b"1\r\na\r\n") == b""
