"""In what form a body goes to the client: as it came, in chunks of ours, or bare until the connection ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hal0app.core.framing import LAST_CHUNK, Chunked, Framing, Length, Spans, chunk


@dataclass(frozen=True)
class Form:
    """`encode` makes a raw piece, fed to its framing already, into what is sent; `last` ends the body.

    `event` is an event put in after all that was sent, with the end of the body; None when nothing may be put in.
    `chunked`: the client is sent chunks. `as_it_comes`: the body goes as it came, to its last byte; `verbatim`: in
    chunks, so that a piece that is a whole chunk needs no `encode`. `delimited`: the client sees where the body ends,
    so that its connection can be used again.
    """

    encode: Callable[[bytes, Spans, Framing], bytes]
    last: bytes
    event: Callable[[bytes, bool], bytes | None]
    chunked: bool = False
    delimited: bool = True
    verbatim: bool = False
    as_it_comes: bool = False


def _as_it_came(piece: bytes, spans: Spans, framing: Framing) -> bytes:
    return piece if framing.used == len(piece) else piece[: framing.used]


def _payload(piece: bytes, spans: Spans, framing: Framing) -> bytes:
    return b"".join(piece[start:end] for start, end in spans)


def _rechunked(piece: bytes, spans: Spans, framing: Framing) -> bytes:
    payload = _payload(piece, spans, framing)
    return chunk(payload) if payload else b""


def _between_chunks(event: bytes, boundary: bool) -> bytes | None:
    return chunk(event) + LAST_CHUNK if boundary else None


SIZED = Form(_as_it_came, b"", lambda event, boundary: None, as_it_comes=True)
CHUNKS_AS_THEY_CAME = Form(_as_it_came, b"", _between_chunks, chunked=True, verbatim=True, as_it_comes=True)
RECHUNKED = Form(_rechunked, LAST_CHUNK, lambda event, boundary: chunk(event) + LAST_CHUNK, chunked=True)
BARE = Form(_payload, b"", lambda event, boundary: event, delimited=False)


def form(framing: Framing, chunks: bool) -> Form:
    """The form for an upstream's framing; `chunks`: the client understands them."""
    if isinstance(framing, Length):
        return SIZED
    if not chunks:
        return BARE
    return CHUNKS_AS_THEY_CAME if isinstance(framing, Chunked) else RECHUNKED


def form_after_heartbeats(framing: Framing) -> Form:
    """The form once chunks of ours have begun the body."""
    return CHUNKS_AS_THEY_CAME if isinstance(framing, Chunked) else RECHUNKED
