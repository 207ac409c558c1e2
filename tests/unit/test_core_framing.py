"""core/framing: what of the bytes is payload, where a body ends, and what is refused, wherever the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core.framing import Chunked, Framing, Length, Malformed, UntilClose, chunk

CUTS = st.lists(st.integers(0, 400), max_size=10)
EXTENSIONS = st.sampled_from([b"", b";a", b" ;a=b", b';a="b;c"', b";\x80"])
TRAILERS = st.lists(st.sampled_from([b"X-A: 1\r\n", b"X-B:\r\n"]), max_size=3)
PAYLOADS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), EXTENSIONS), max_size=6)


def fed(framing: Framing, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """The payload, and what was left over, of `data` fed in pieces until the body ends."""
    edges = [0, *sorted({min(one, len(data)) for one in cuts}), len(data)]
    payload, used = b"", 0
    for start, end in pairwise(edges):
        if framing.done:
            break
        piece = data[start:end]
        payload += b"".join(piece[a:b] for a, b in framing.feed(piece))
        used += framing.used
    return payload, data[used:]


def body(parts: list[tuple[bytes, bytes]], trailers: list[bytes]) -> bytes:
    chunks = b"".join(b"%X%s\r\n%s\r\n" % (len(one), extension, one) for one, extension in parts)
    return chunks + b"0\r\n" + b"".join(trailers) + b"\r\n"


@given(PAYLOADS, TRAILERS, CUTS, st.binary(max_size=5))
def test_chunks_are_read_wherever_they_are_cut(
    parts: list[tuple[bytes, bytes]], trailers: list[bytes], cuts: list[int], more: bytes
) -> None:
    framing = Chunked()
    payload, rest = fed(framing, body(parts, trailers) + more, cuts)
    whole = b"".join(one for one, _ in parts)
    assert framing.done
    assert payload == whole
    assert rest == more
    assert framing.tail == whole[-4:]


@given(PAYLOADS, CUTS)
def test_a_chunk_fits_between_two_chunks_and_nowhere_else(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    framing, data = Chunked(), body(parts, [])
    ends = {0}
    for one, extension in parts:
        ends.add(max(ends) + len(b"%X%s\r\n%s\r\n" % (len(one), extension, one)))
    for place in range(len(data)):
        assert framing.boundary == (place in ends)
        framing.feed(data[place : place + 1])
    assert not framing.boundary


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_more_than_there_are(data: bytes) -> None:
    framing = Chunked()
    try:
        spans = framing.feed(data)
    except Malformed:
        return
    assert 0 <= framing.used <= len(data)
    assert all(0 <= start <= end <= len(data) for start, end in spans)
    assert framing.surplus == (framing.done and framing.used < len(data))


@pytest.mark.parametrize(
    "data",
    [
        *(b"-1\r\n", b"+1\r\nx\r\n", b"0x1\r\nx\r\n", b"1_0\r\n", b" 1\r\nx\r\n", b"1 \r\nx\r\n", b"\r\n", b";a\r\n"),
        *(b"1\nx\n", b"1\r\nxy\r\n", b"1\r\nx\n", b"1;a\rb\r\nx\r\n", b"1;a\nb\r\nx\r\n", b"1;a\0\r\nx\r\n"),
        *(b"0\r\nX-A: 1\n\r\n", b"0\r\nno trailer\r\n\r\n", b"0\r\nX A: 1\r\n\r\n", b"0\r\nX: \0\r\n\r\n"),
        *(b"0\r\n X: 1\r\n\r\n", b"1" * 16 + b"\r\n", b"1;" + b"a" * 9000, b"0\r\n" + b"X-A: 1\r\n" * 20_000),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Chunked().feed(data)
    with pytest.raises(Malformed):
        fed(Chunked(), data, list(range(1, 400)))


@given(PAYLOADS, TRAILERS, CUTS)
def test_what_passes_as_a_whole_chunk_is_read_as_one(
    parts: list[tuple[bytes, bytes]], trailers: list[bytes], cuts: list[int]
) -> None:
    data = body([(one.ljust(5, b"."), extension) for one, extension in parts], trailers)
    places = [data.find(b"\r\n", at) + 2 for at in range(0, len(data), 9)]
    edges = sorted({0, len(data), *places, *(min(one, len(data)) for one in cuts)})
    quick, slow = Chunked(), Chunked()
    for start, end in pairwise(edges):
        piece = data[start:end]
        spans = slow.feed(piece)
        if quick.passes(piece):
            assert spans == [(piece.index(b"\n") + 1, len(piece) - 2)]
        else:
            assert quick.feed(piece) == spans
        assert (quick.done, quick.boundary, quick.tail) == (slow.done, slow.boundary, slow.tail)


@pytest.mark.parametrize("size", [4, 15, 16, 255, 256, 4000])
def test_a_whole_chunk_passes_between_two_chunks_only(size: int) -> None:
    framing, data = Chunked(), chunk(b"x" * size)
    assert framing.passes(data)
    assert not framing.passes(data[:-1])
    assert not framing.passes(data + data)
    assert not framing.passes(b"")
    framing.feed(data[:-1])
    assert not framing.passes(data)
    assert not Length(len(data)).passes(data)


def test_a_body_of_known_length_ends_there() -> None:
    framing = Length(5)
    assert fed(framing, b"hello and more", [2, 3]) == (b"hello", b" and more")
    assert (framing.done, framing.surplus, framing.boundary, framing.tail) == (True, True, False, b"ello")


def test_a_body_that_ends_too_early_is_not_whole() -> None:
    for framing in (Length(5), Chunked()):
        framing.feed(b"1\r\n")
        assert not framing.ended()


def test_a_body_that_ends_with_its_connection_is_whole_then() -> None:
    framing = UntilClose()
    assert framing.feed(b"hello") == [(0, 5)]
    assert not framing.done
    assert framing.ended()
    assert framing.done


def test_a_fresh_framing_begins_at_the_beginning() -> None:
    framing = Length(5)
    framing.feed(b"hello")
    again = framing.fresh()
    assert not again.done
    assert again.feed(b"hello") == [(0, 5)]
    assert Length(0).fresh().done


def test_a_chunk_is_read_as_its_payload() -> None:
    framing = Chunked()
    data = chunk(b"hello")
    assert [data[start:end] for start, end in framing.feed(data)] == [b"hello"]
    assert framing.boundary
