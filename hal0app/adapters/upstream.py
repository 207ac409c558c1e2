"""Requests to a base URL, answered as they come: one connection a request, no total time limit."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from hal0app.core.upstream import Aborted, Broken, Silent, Unreached

CONNECT_S = 5.0
SILENCE_S = 900.0  # the longest gap between two bytes: a prefill of a long prompt sends nothing for minutes
READ_BYTES = 65536

# Nobody listens at the address.
ABSENT = (ConnectionRefusedError, ConnectionResetError, TimeoutError)

# Only these say that nobody is there; every other failure says nothing about the backend.
GONE = (http.client.RemoteDisconnected, ConnectionRefusedError, ConnectionResetError, BrokenPipeError)


class HttpUpstream:
    """Opens calls. `key` is lemond's own and is sent only to `keyed`, lemond's base URL."""

    def __init__(self, keyed: str = "", key: str | None = None) -> None:
        self._keyed, self._key = keyed, key

    def call(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
    ) -> HttpCall:
        """A call to `base_url` + `path`, not yet sent. A body of unknown length goes chunked."""
        sent = list(headers)
        if self._key and base_url == self._keyed:
            sent.append(("Authorization", f"Bearer {self._key}"))
        return HttpCall(base_url, method, path, sent, body)


class HttpCall:
    """One request under way. `abort` may be called from another thread at any time."""

    def __init__(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
    ) -> None:
        parts = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=CONNECT_S)
        self._method, self._path = method, parts.path.rstrip("/") + path
        self._headers, self._body = headers, body
        self._socket: socket.socket | None = None
        self._aborted = False

    def reply(self) -> HttpReply:
        """Send the request and wait for the head of the answer. Raises Unreached, Silent, Broken, Aborted.

        An upload whose own source breaks off counts as Aborted: it was the client's.
        """
        self._connect()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read everything
                self._send()
            return HttpReply(self, self._connection.getresponse())
        except Aborted:
            self.close()
            raise
        except TimeoutError as late:
            raise self._failure(Silent(str(late))) from late
        except http.client.HTTPException as problem:
            raise self._failure((Unreached if isinstance(problem, GONE) else Broken)(repr(problem))) from problem
        except (OSError, AttributeError, ValueError) as problem:
            raise self._failure((Unreached if isinstance(problem, GONE) else Broken)(repr(problem))) from problem

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except (*ABSENT, socket.gaierror) as problem:
            if isinstance(problem, socket.gaierror) and problem.errno != socket.EAI_NONAME:
                raise self._failure(Broken(f"the name could not be looked up: {problem}")) from problem
            raise self._failure(Unreached(repr(problem))) from problem
        except OSError as problem:
            raise self._failure(Broken(f"no connection could be made: {problem}")) from problem
        self._socket = self._connection.sock
        if self._aborted:
            raise self._failure(Aborted())

    def _send(self) -> None:
        connection = self._connection
        connection.sock.settimeout(SILENCE_S)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.putrequest(self._method, self._path, skip_accept_encoding=True)
        for name, value in self._headers:
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        self._send_body()

    def _send_body(self) -> None:
        connection, body = self._connection, self._body
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return
        chunked = body is not None and not any(name.lower() == "content-length" for name, _ in self._headers)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for part in _pieces(body or ()):
            if part:
                connection.send(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if chunked:
            connection.send(b"0\r\n\r\n")

    def abort(self) -> None:
        """End the call; whoever waits on it gets Aborted."""
        self._aborted = True
        self._hang_up()

    def close(self) -> None:
        """End the connection and forget it."""
        self._hang_up()
        self._connection.close()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def aborted(self) -> bool:
        return self._aborted

    def _failure(self, otherwise: Exception) -> Exception:
        self.close()
        return Aborted() if self._aborted else otherwise


def _pieces(body: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of an upload; a failure of its source is no failure of the upstream."""
    try:
        yield from body
    except OSError as problem:
        raise Aborted(repr(problem)) from problem


class HttpReply:
    """The head of an answer and its body."""

    def __init__(self, call: HttpCall, response: http.client.HTTPResponse) -> None:
        self._call, self._response = call, response
        self.status = response.status
        self.headers = [(name, value) for name, value in response.getheaders() if name.lower() != "transfer-encoding"]

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces, each as soon as it is there. Raises Broken when it ends too early, Silent, Aborted."""
        try:
            while piece := self._response.read1(READ_BYTES):
                yield piece
            if self._call.aborted:
                raise Aborted
            if self._response.length:
                raise self._call._failure(Broken(f"{self._response.length} bytes are missing"))
        except TimeoutError as late:
            raise self._call._failure(Silent(str(late))) from late
        except (OSError, ValueError, http.client.HTTPException, AttributeError) as problem:
            raise self._call._failure(Broken(repr(problem))) from problem

    def close(self) -> None:
        """Give the connection up, also in the middle of the body."""
        self._call.close()
        with suppress(OSError, RuntimeError):
            self._response.close()
