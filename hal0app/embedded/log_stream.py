"""`/logs/stream`: the log over a WebSocket on the HTTP port, as lemond serves it (lemonade-contract.md section 5).

The client says `{"type": "logs.subscribe"}` and gets one `logs.snapshot`, then a `logs.entry` for every line.
"""

from __future__ import annotations

import contextlib
import json
import queue
import select
import socket
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.utilities import RemoteProtocolError

from hal0app.embedded.log import Log

READ_BYTES = 1 << 16
LOOK_FOR_THE_CLIENT_S = 0.5
SUBSCRIBE = "logs.subscribe"
NOT_SUBSCRIBED = {
    "error": {"message": "Expected logs.subscribe message", "type": "invalid_request_error"},
    "type": "error",
}


class _Gone(Exception):
    """The client closed the stream, broke the protocol or left."""


class _Follower:
    """One client of the stream, on the connection that it upgraded."""

    def __init__(self, connection: socket.socket, target: str, headers: dict[str, str]) -> None:
        self._connection = connection
        self._protocol = WSConnection(ConnectionType.SERVER)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._protocol.initiate_upgrade_connection(raw, target)

    def accept(self) -> None:
        if any(isinstance(event, Request) for event in self._protocol.events()):
            self._connection.sendall(self._protocol.send(AcceptConnection()))

    def tell(self, told: dict[str, Any]) -> None:
        self._connection.sendall(self._protocol.send(TextMessage(data=json.dumps(told, sort_keys=True))))

    def hear(self, within_s: float | None) -> list[str]:
        """The messages that came within so many seconds, None = wait for some; answers pings. Raises _Gone."""
        if not select.select([self._connection], [], [], within_s)[0]:
            return []
        read = self._connection.recv(READ_BYTES)
        if not read:
            raise _Gone
        self._protocol.receive_data(read)
        messages = []
        for event in self._protocol.events():
            if isinstance(event, TextMessage):
                messages.append(event.data)
            else:
                self._answer(event)
        return messages

    def _answer(self, event: Event) -> None:
        if isinstance(event, Ping | CloseConnection):
            self._connection.sendall(self._protocol.send(event.response()))
        if isinstance(event, CloseConnection):
            raise _Gone

    def await_subscription(self) -> None:
        """Wait for the subscription; anything else is answered with lemond's error, and waited on."""
        while True:
            for message in self.hear(None):
                if _kind(message) == SUBSCRIBE:
                    return
                self.tell(NOT_SUBSCRIBED)


def _kind(message: str) -> object:
    try:
        told = json.loads(message)
    except ValueError:
        return None
    return told.get("type") if isinstance(told, dict) else None


def follow(log: Log, connection: socket.socket, target: str, headers: dict[str, str]) -> None:
    """Serve the stream on a connection whose upgrade request was just read, until the client leaves."""
    with contextlib.suppress(_Gone, OSError, RemoteProtocolError):
        client = _Follower(connection, target, headers)
        client.accept()
        client.await_subscription()
        with log.followed() as (before, later):
            client.tell({"entries": before, "type": "logs.snapshot"})
            while True:
                with contextlib.suppress(queue.Empty):
                    client.tell({"entry": later.get(timeout=LOOK_FOR_THE_CLIENT_S), "type": "logs.entry"})
                client.hear(0)
