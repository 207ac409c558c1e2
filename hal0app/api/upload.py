"""The body of a request as it comes, piece by piece, with a limit on how long the client may send nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException

from hal0app import errors
from hal0app.api.breath import Breath
from hal0app.api.client_socket import ClientSocket

PIECE = 65536
LOOK_S = 1.0


def upload(client: ClientSocket, source: Any, idle_s: float) -> Iterator[bytes]:
    """The pieces of `source`, a WSGI input, each as soon as it is there. The first one is waited for here.

    While nothing comes there is an empty one now and then, so that who sends them on can see whether he is answered
    already. Raises what `patience` raises.
    """
    client.uploading = True
    coming = _pieces(client, source, idle_s)
    return chain([next(filter(None, coming), b"")], coming)


def _pieces(client: ClientSocket, source: Any, idle_s: float) -> Iterator[bytes]:
    breathe = Breath()
    with patience(client.socket, source, idle_s):
        for piece in _as_they_come(client.socket, source, idle_s):
            yield piece
            breathe()
    client.uploading = False


def pieces(source: Any) -> Iterator[bytes]:
    """What comes, each piece as soon as it is there; others have their turn though it comes fast."""
    read, breathe = _reading(source), Breath()
    while piece := read():
        yield piece
        breathe()


@contextmanager
def patience(peer: Any, source: Any, idle_s: float) -> Iterator[None]:
    """Reading from `source` over the socket `peer`, for at most `idle_s` seconds of silence.

    Raises `request.timeout`, `client.gone`, `request.invalid_field` for a body that breaks HTTP; what comes after such
    a body is no request, so its connection ends.
    """
    if peer is None:
        yield
        return
    before = peer.gettimeout()
    peer.settimeout(idle_s)
    try:
        yield
    except TimeoutError as late:
        source.failed = True  # gunicorn then closes the connection instead of waiting for the rest
        message = f"nothing of the body came for {idle_s:g} s; send it again, without a pause"
        raise errors.error("request.timeout", message) from late
    except ParseException as broken:
        source.failed = True
        raise errors.error("request.invalid_field", f"the body is not valid HTTP: {broken}") from broken
    except OSError as left:
        source.failed = True
        raise errors.error(
            "client.gone", "the client ended its side of the connection before its body was whole"
        ) from left
    finally:
        peer.settimeout(before)


def _as_they_come(peer: Any, source: Any, idle_s: float) -> Iterator[bytes]:
    """The pieces, and an empty one after each LOOK_S without any where that can be told."""
    read, silent_s = _reading(source), 0.0
    if peer is None or not _can_be_told(source):
        yield from iter(read, b"")
        return
    while True:
        look_s = min(LOOK_S, idle_s - silent_s)
        peer.settimeout(look_s)
        try:
            piece = read()
            silent_s = 0.0
            if not piece:
                return
        except TimeoutError:
            silent_s += look_s
            if silent_s >= idle_s:
                raise
            piece = b""
        finally:
            peer.settimeout(idle_s)
        yield piece


def _can_be_told(source: Any) -> bool:
    """Whether a read that was given up can be begun again; gunicorn's reader of chunks would be at its end."""
    return isinstance(source, Body) and isinstance(source.reader, LengthReader)


def _reading(source: Any) -> Callable[[], bytes]:
    """How to read the next piece; gunicorn's own readers would wait until a piece has its full size."""
    if isinstance(source, Body) and isinstance(source.reader, LengthReader):
        return lambda: _some_of(source.reader)
    if isinstance(source, Body) and isinstance(source.reader, ChunkedReader):
        return lambda: _chunk_of(source.reader)
    return lambda: source.read(PIECE)


def _some_of(reader: LengthReader) -> bytes:
    if not reader.length:
        return b""
    piece: bytes = reader.unreader.read(None, read_ahead=min(PIECE, reader.length))
    if not piece:
        raise ConnectionResetError("the connection ended before the body did")
    if len(piece) > reader.length:
        reader.unreader.unread(piece[reader.length :])
        piece = piece[: reader.length]
    reader.length -= len(piece)
    return piece


def _chunk_of(reader: ChunkedReader) -> bytes:
    while reader.parser:
        piece: bytes | None = next(reader.parser, None)
        if piece:
            return piece
        if piece is None:
            reader.parser = None
    return b""
