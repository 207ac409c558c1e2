"""A client that writes and reads HTTP by hand."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

DEADLINE_S = 60.0


@dataclass
class Answer:
    """What a client got: the head, and the body without its framing."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True


class Client:
    """One connection to hal0."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(
        self,
        name: str,
        method: str = "GET",
        path: str = "/v1/stats",
        body: bytes = b"",
        version: str = "1.1",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A request for the script `name`."""
        told = {"Host": "127.0.0.1", "X-Script": name, **(headers or {})}
        if body:
            told.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{key}: {value}\r\n" for key, value in told.items())
        self.socket.sendall(f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode("latin-1") + body)

    def chat(self, name: str, stream: bool = True, version: str = "1.1", **headers: str) -> None:
        """A chat request that goes straight to the backend's script `name`."""
        body = json.dumps({"model": "primary", "stream": stream, "messages": [{"role": "user", "content": "x"}]})
        told = {"Content-Type": "application/json", **{key.replace("_", "-"): one for key, one in headers.items()}}
        self.send(name, "POST", "/v1/chat/completions", body.encode(), version, told)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, decoded; not `whole` when it breaks off."""
        response = http.client.HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            try:
                return Answer(response.status, headers, response.read())
            except http.client.IncompleteRead as cut:
                return Answer(response.status, headers, cut.partial, whole=False)
            except ConnectionError:
                return Answer(response.status, headers, b"", whole=False)
        finally:
            response.close()

    def until(self, end: bytes, read: bytes = b"") -> bytes:
        """Everything up to and with `end`."""
        while end not in read:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ended after {read[-200:]!r}"
            read += piece
        return read

    def rest(self) -> bytes:
        """Everything up to the end of the connection, which may be a reset."""
        read = b""
        with suppress(ConnectionResetError):
            while piece := self.socket.recv(65536):
                read += piece
        return read

    def is_open(self) -> bool:
        """Whether a further request is answered on this connection."""
        self.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        try:
            return self.answer().status == 200
        except (http.client.HTTPException, ConnectionError):
            return False


def events(body: bytes) -> list[Any]:
    """The data of the events in a stream; [DONE] as a string."""
    told = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in told]
