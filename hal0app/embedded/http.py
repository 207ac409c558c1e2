"""The HTTP side: connections, requests and answers, as lemond's server writes them on the wire.

HTTP/1.1 with keep-alive (5 s, 100 requests), errors close the connection, streams are chunked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from hal0app.core.multipart import FieldSearch
from hal0app.embedded.errors import EngineError, plain

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 5
KEEP_ALIVE_REQUESTS = 100
TRANSFER_TIMEOUT_S = 300
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
EVERY_ANSWER = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization, X-Client-Session-Id, X-Account-Session-Id, "
    "mcp-protocol-version, traceparent, Mcp-Session-Id",
    "Vary": "Origin",
}
STREAM_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    "Content-Type": "text/event-stream",
    "Transfer-Encoding": "chunked",
}


@dataclass(frozen=True)
class Request:
    """One request: `path` is decoded and without its query."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body; EngineError 400 in shape A when it is empty or not JSON."""
        if not self.body.strip():
            raise plain(400, "Request body is required but was empty")
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise plain(400, f"Invalid JSON in request body: {error}") from None

    @property
    def is_form(self) -> bool:
        """Whether the body is multipart/form-data."""
        return self.headers.get("content-type", "").lower().startswith("multipart/form-data")

    def form_field(self, name: str) -> str:
        """A text field of the form in the body; empty when there is none."""
        boundary = _BOUNDARY.search(self.headers.get("content-type", ""))
        search = FieldSearch(boundary[1].encode() if boundary else b"", name)
        search.look(self.body)
        return self.body[slice(*search.span)].decode("utf-8", "replace") if search.span else ""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True)
class Stream:
    """Server-sent events as they come; `close` is called once, also when the client has gone."""

    chunks: Iterable[bytes]
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Upgrade:
    """The connection leaves HTTP: `serve` has it until it returns, then it is closed."""

    serve: Callable[[socket.socket], None]


def as_json(body: Any, status: int = 200) -> Answer:
    """A JSON answer with sorted keys and no spaces, as lemond's library writes it."""
    return Answer(status, json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


Reply = Answer | Stream | Upgrade
Application = Callable[[Request], Reply]


class Connection(BaseHTTPRequestHandler):
    """One client connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    timeout = KEEP_ALIVE_S
    disable_nagle_algorithm = True
    wbufsize = -1
    application: ClassVar[Application]
    served = 0

    def _serve(self) -> None:
        self.connection.settimeout(TRANSFER_TIMEOUT_S)
        try:
            answer = self._answer()
            if isinstance(answer, Upgrade):
                self.close_connection = True
                answer.serve(self.connection)
            elif isinstance(answer, Stream):
                self._send_stream(answer)
            else:
                self._send(answer)
            self.wfile.flush()
        except (OSError, TimeoutError):
            self.close_connection = True
        finally:
            self.served += 1
            self.connection.settimeout(KEEP_ALIVE_S)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _serve  # noqa: N815 -- http.server

    def _request(self) -> Request:
        target = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        body = b"".join(self._chunks()) if chunked else self.rfile.read(length)
        return Request(self.command, unquote(target.path), parse_qs(target.query), headers, body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass

    def _answer(self) -> Reply:
        try:
            return type(self).application(self._request())
        except EngineError as error:
            return as_json(error.body, error.status)
        except Exception as error:
            log.exception("%s %s", self.command, self.path)
            return as_json({"error": str(error)}, 500)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        last = status >= 400 or self.served + 1 >= KEEP_ALIVE_REQUESTS
        if last:
            self.close_connection = True
            headers = {**headers, "Connection": "close"}
        else:
            headers = {"Keep-Alive": f"timeout={KEEP_ALIVE_S}, max={KEEP_ALIVE_REQUESTS}", **headers}
        self.send_response_only(status)
        for name, value in {**EVERY_ANSWER, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.body
        self._head(answer.status, {"Content-Type": answer.content_type, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _send_stream(self, answer: Stream) -> None:
        try:
            self._head(200, STREAM_HEADERS)
            for chunk in answer.chunks:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        finally:
            answer.close()

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone with bytes still to be sent
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name for it
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """Listens on one address; a thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        handler = type("BoundConnection", (Connection,), {"application": staticmethod(application)})
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of the host's name that the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
