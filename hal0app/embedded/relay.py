"""Passing a request to a resident's llama.cpp server and its answer back, as lemond passes them."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hal0app.embedded import errors
from hal0app.embedded.http import Answer, Request, Stream, as_json
from hal0app.embedded.resident import Resident
from hal0app.embedded.router import Router
from hal0app.embedded.stats import Stats, last_event

PING = b": ping\n\n"
PING_AFTER_S = 1.0
READ_BYTES = 1 << 16
TAIL_BYTES = 4096
ATTEMPTS = 2
NOT_CHAT = "This model does not support chat completion. Only LLM models support this endpoint."

LOST = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Endpoint:
    """An inference endpoint: its path at llama-server, and whether only an llm may serve it."""

    path: str
    only_llm: bool = False


def _event(body: Any) -> bytes:
    return b"data: " + json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n\n"


def _connect(resident: Resident) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(resident.backend.url).netloc)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(connection: http.client.HTTPConnection, path: str, body: bytes) -> http.client.HTTPResponse:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    return connection.getresponse()


def _exchange(resident: Resident, path: str, body: bytes) -> tuple[int, Any]:
    with contextlib.closing(_connect(resident)) as connection:
        response = _send(connection, path, body)
        raw = response.read()
    try:
        return response.status, json.loads(raw)
    except ValueError:
        return response.status, raw.decode(errors="replace")


class _Reader:
    """Reads a streamed answer in a thread of its own, so that silence can be told from the end."""

    def __init__(self, resident: Resident, path: str, body: bytes) -> None:
        self._connection = _connect(resident)
        self._socket = self._connection.sock
        self._parts: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=256)
        self._thread = threading.Thread(target=self._read, args=(path, body), daemon=True)
        self._thread.start()

    def _read(self, path: str, body: bytes) -> None:
        try:
            response = _send(self._connection, path, body)
            if response.status != http.client.OK:
                self._parts.put(_refusal(response.status, response.read()))
            else:
                while part := response.read1(READ_BYTES):
                    self._parts.put(part)
            self._parts.put(None)
        except LOST as error:
            self._parts.put(error)

    def parts(self) -> Iterator[bytes]:
        """What comes, and a ping for each second of silence; raises one of LOST when the backend is lost."""
        while True:
            try:
                part = self._parts.get(timeout=PING_AFTER_S)
            except queue.Empty:
                yield PING
                continue
            if part is None:
                return
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        """Drop the connection: llama-server then aborts the generation."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._parts.get(timeout=0.05)
        self._connection.close()


def _refusal(status: int, raw: bytes) -> bytes:
    """An error of llama-server inside a stream: HTTP 200, the error as an event, no `[DONE]`."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = {}
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {"message": raw.decode(errors="replace")}
    return _event({"error": {**error, "status_code": status}})


class Relay:
    """Forwards inference. A backend that dies before its first byte is replaced once, unseen by the client."""

    def __init__(self, router: Router, stats: Stats) -> None:
        self._router = router
        self._stats = stats

    def forward(self, endpoint: Endpoint, requested: str, body: dict[str, Any]) -> Answer | Stream:
        """Answer one request; EngineError for a refusal that has a status of its own."""
        streaming = body.get("stream") is True
        use = contextlib.ExitStack()
        try:
            resident = use.enter_context(self._router.use(requested, streaming=streaming))
            if endpoint.only_llm and resident.model.type != "llm":
                raise errors.typed(400, NOT_CHAT, "invalid_request_error")
            encoded = json.dumps(body).encode()
            if streaming:
                kept = use.pop_all()
                chunks = self._chunks(kept, resident, endpoint, requested, encoded)
                ended = contextlib.ExitStack()
                ended.callback(kept.close)
                ended.callback(chunks.close)
                return Stream(chunks, ended.close)
            return self._complete(use, resident, endpoint, requested, encoded)
        finally:
            use.close()

    def _complete(
        self, use: contextlib.ExitStack, resident: Resident, endpoint: Endpoint, requested: str, body: bytes
    ) -> Answer:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, answer = _exchange(resident, endpoint.path, body)
                break
            except LOST as error:
                if attempt == ATTEMPTS:
                    raise errors.EngineError(500, errors.backend_lost(str(error))) from error
                resident = self._replace(use, resident, requested, streaming=False)
        if status >= 400:
            raise errors.from_backend(status, answer)
        if isinstance(answer, dict):
            self._stats.record(answer)
            answer = {**answer, "model": requested} if "model" in answer else answer
        return as_json(answer)

    def whole(self, path: str, requested: str, request: Request, refusal: errors.EngineError) -> Answer:
        """Pass a body that is not JSON to a simulated model as it came; EngineError `refusal` for any other model."""
        with self._router.use(requested, streaming=False) as resident:
            if not resident.model.simulated:
                raise refusal
            with contextlib.closing(_connect(resident)) as connection:
                connection.request("POST", path, request.body, {"Content-Type": request.headers["content-type"]})
                response = connection.getresponse()
                kind = response.headers.get("Content-Type", "application/json")
                return Answer(response.status, response.read(), kind)

    def _replace(self, use: contextlib.ExitStack, resident: Resident, requested: str, *, streaming: bool) -> Resident:
        """Let go of a lost backend (killed, should it still run without answering) and get a new one."""
        use.close()
        resident.backend.stop()
        return use.enter_context(self._router.use(requested, streaming=streaming))

    def _chunks(
        self, use: contextlib.ExitStack, resident: Resident, endpoint: Endpoint, requested: str, body: bytes
    ) -> Generator[bytes, None, None]:
        tail = b""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with contextlib.closing(_Reader(resident, endpoint.path, body)) as reader:
                    for part in reader.parts():
                        tail = (tail + part)[-TAIL_BYTES:] if part is not PING else tail
                        yield part
                break
            except LOST as error:
                if tail or attempt == ATTEMPTS:
                    yield _event(errors.backend_lost(str(error)))
                    break
            try:
                resident = self._replace(use, resident, requested, streaming=True)
            except errors.EngineError as error:
                yield _event(error.body)
                break
        self._stats.record(last_event(tail))
