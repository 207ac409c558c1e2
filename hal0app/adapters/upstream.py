"""Requests to a base URL over connections that are kept, answered as they come, with no total time limit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from hal0app.adapters.connecting import Address
from hal0app.adapters.connections import Connections, connect
from hal0app.adapters.sending import send, send_pieces
from hal0app.core import request_head, response_head
from hal0app.core.framing import Framing, Malformed
from hal0app.core.upstream import SILENCE_S, Aborted, Broken, Garbled, Silent, Unheard, Unreached

READ_BYTES = 65536
IDLE_TO_LEMOND = 4  # each of its connections takes one of its threads

# Nobody listens at the address.
ABSENT = (ConnectionRefusedError, ConnectionResetError)

# Only these say that nobody is there; every other failure says nothing about the backend.
GONE = (ConnectionResetError, BrokenPipeError)

Body = bytes | Iterable[bytes] | None
Receive = Callable[[socket.socket, int], bytes]


def receive(connection: socket.socket, size: int) -> bytes:
    """What comes next; nothing once the other side has ended the connection."""
    return connection.recv(size)


class HttpUpstream:
    """Opens calls. `key` is lemond's own and is sent only to `lemond`, its base URL. `receive` is how to read."""

    def __init__(self, lemond: str = "", key: str | None = None, receive: Receive = receive) -> None:
        self._lemond, self._key, self._receive = lemond, key, receive
        self.connections = Connections({_place(lemond)[0]: IDLE_TO_LEMOND} if lemond else None)

    def call(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: Body,
        patient: bool = False,
    ) -> HttpCall:
        """A call to `base_url` + `path`, not yet sent. A body of unknown length goes chunked.

        `patient`: the head of its answer may take as long as it likes.
        """
        if self._key and base_url == self._lemond:
            headers = [*headers, ("Authorization", f"Bearer {self._key}")]
        return HttpCall(self.connections, base_url, method, path, headers, body, self._receive, patient)

    def run(self) -> None:
        """Close idle connections in time, until stopped."""
        self.connections.run()

    def stop(self) -> None:
        """Close every idle connection."""
        self.connections.stop()


@lru_cache(maxsize=256)
def _place(base_url: str) -> tuple[Address, str, str]:
    """Address, Host header and path of a base URL."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or 80
    return (host, port), f"[{host}]:{port}" if ":" in host else f"{host}:{port}", parts.path.rstrip("/")


class HttpCall:
    """One request under way. `abort` may be called from another thread at any time."""

    def __init__(
        self,
        connections: Connections,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: Body,
        receive: Receive,
        patient: bool = False,
    ) -> None:
        self.receive, self._patient = receive, patient
        self._connections, self._base_url = connections, base_url
        self._address, self._host, self._prefix = _place(base_url)
        self._method, self._path, self._headers, self._body = method, path, headers, body
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._sent_all = True
        self.aborted = False

    def reply(self) -> HttpReply:
        """Send the request and wait for the head of the answer. Raises Unreached, Unheard, Silent, Broken, Aborted.

        An upload whose own source breaks off counts as Aborted: it was the client's. A kept connection that turns
        out to be closed is replaced by a new one, once, if the body can be sent again.
        """
        replayable = self._body is None or isinstance(self._body, bytes)
        kept = self._connections.take(self._address) if replayable else None
        if kept is not None:
            try:
                return self._ask(kept)
            except Unreached:
                pass  # closed meanwhile
        return self._ask(self._connect())

    def _connect(self) -> socket.socket:
        try:
            return connect(self._address, SILENCE_S, lambda: not self.aborted)
        except OSError as problem:
            nameless = isinstance(problem, socket.gaierror) and problem.errno == socket.EAI_NONAME
            absent = nameless or isinstance(problem, ABSENT)
            raise self._failure(Unreached(repr(problem)) if absent else Unheard(str(problem))) from problem

    def _ask(self, connection: socket.socket) -> HttpReply:
        with self._lock:
            self._socket = connection
        try:
            if self.aborted:
                raise Aborted  # noqa: TRY301 - it ends as any other failure does
            with suppress(*GONE):  # it may have answered before it had read everything
                self._sent_all = self._send(connection)
            reply = HttpReply(self, connection, *self._head(connection))
            self._body = None  # a long prompt is not to be kept while its answer streams
        except TimeoutError as late:
            raise self._failure(Silent(str(late))) from late
        except Malformed as problem:
            raise self._failure(Garbled(repr(problem))) from problem
        except (OSError, ValueError) as problem:
            raise self._failure((Unreached if isinstance(problem, GONE) else Broken)(repr(problem))) from problem
        except BaseException:
            self.end(reusable=False)
            raise
        return reply

    def _send(self, connection: socket.socket) -> bool:
        body = self._body
        self._sent_all = False
        if isinstance(body, bytes):
            return send(connection, self._head_with(("Content-Length", str(len(body)))) + body)
        chunked = body is not None and not any(name.lower() == "content-length" for name, _ in self._headers)
        head = self._head_with(("Transfer-Encoding", "chunked")) if chunked else self._head_with()
        return send(connection, head) and send_pieces(connection, body or (), chunked)

    def _head_with(self, *more: tuple[str, str]) -> bytes:
        return request_head.write(self._method, self._prefix + self._path, self._host, self._headers, *more)

    def _head(self, connection: socket.socket) -> tuple[response_head.Head, bytes]:
        if not self._patient:
            return self._read_head(connection)
        connection.settimeout(None)
        try:
            return self._read_head(connection)
        finally:
            connection.settimeout(SILENCE_S)

    def _read_head(self, connection: socket.socket) -> tuple[response_head.Head, bytes]:
        data = b""
        while True:
            piece = self.receive(connection, READ_BYTES)
            if not piece:
                raise ConnectionAbortedError("cut in its head") if data else ConnectionResetError("no answer")
            data += piece
            if (found := response_head.read(data, self._method)) is not None:
                return found

    def abort(self) -> None:
        """End the call; whoever waits on it gets Aborted."""
        self.aborted = True
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def end(self, reusable: bool) -> None:
        """Give the connection back, or close it; twice is fine."""
        with self._lock:
            ended, self._socket = self._socket, None
        if ended is None:
            return
        if reusable and self._sent_all and not self.aborted:
            self._connections.give(self._address, ended)
            return
        with suppress(OSError):
            ended.shutdown(socket.SHUT_RDWR)
        ended.close()

    def close(self) -> None:
        """End the connection and forget it."""
        self.end(reusable=False)

    def _failure(self, otherwise: Exception) -> Exception:
        self.end(reusable=False)
        return Aborted() if self.aborted else otherwise


class HttpReply:
    """The head of an answer and its body, decoded by `chunks`, or raw by whoever takes over the connection."""

    def __init__(self, call: HttpCall, connection: socket.socket, head: response_head.Head, rest: bytes) -> None:
        self._call, self._head, self._rest = call, head, rest
        self.connection: socket.socket = connection
        self.status, self.headers = head.status, head.headers
        self.framing: Framing = head.framing
        self._read: list[bytes] = []
        self._on_raw: Callable[[bytes], object] | None = self._read.append

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, each as soon as it is there. Raises Broken when it ends too early, Silent, Aborted."""
        try:
            if self._rest:
                first, self._rest = self._rest, b""
                yield from self._decoded(first)
            while not self.framing.done:
                piece = self._call.receive(self.connection, READ_BYTES)
                if not piece:
                    self._closed()
                    return
                yield from self._decoded(piece)
        except TimeoutError as late:
            raise self._call._failure(Silent(str(late))) from late
        except Malformed as problem:
            raise self._call._failure(Garbled(repr(problem))) from problem
        except OSError as problem:
            raise self._call._failure(Broken(repr(problem))) from problem

    def _decoded(self, piece: bytes) -> Iterator[bytes]:
        if self._on_raw is not None:
            self._on_raw(piece)
        for start, end in self.framing.feed(piece):
            yield piece[start:end]

    def _closed(self) -> None:
        if self._call.aborted:
            raise self._call._failure(Aborted())
        if not self.framing.ended():
            raise ConnectionAbortedError("it ended before its body did")

    def to_tap(self, tap: Callable[[bytes], None] | None) -> None:
        """Give the raw pieces of the body to `tap`, beginning with those that were read already."""
        if tap is not None:
            for piece in self._read:
                tap(piece)
        self._read.clear()
        self._on_raw = tap

    def passed(self) -> bytes | None:
        """The raw bytes of the body so far, when its framing is right behind them; they are forgotten here."""
        if self._rest or self.framing.surplus:
            return None
        raw = self._read[0] if len(self._read) == 1 else b"".join(self._read)
        self._read.clear()
        return raw

    def rewind(self) -> bytes:
        """The raw bytes of the body so far; they are forgotten here, and the framing is back before them."""
        raw = b"".join(self._read) + self._rest
        self._read.clear()
        self._rest = b""
        self.framing = self.framing.fresh()
        self.framing.surplus = self.framing.done and bool(raw)
        return raw

    @property
    def aborted(self) -> bool:
        """Whether the call was ended at this end."""
        return self._call.aborted

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else end it."""
        self._call.end(self.framing.done and self._head.reusable and not self.framing.surplus)
