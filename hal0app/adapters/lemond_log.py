"""lemond's log as it is written: its WebSocket `/logs/stream` on the HTTP port (lemonade-contract.md section 5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

from websocket import WebSocket, WebSocketException, create_connection

TIMEOUT_S = 30.0


class LogStream:
    """Follows the log of the lemond at `url`; older lines, sent at the start, are passed over."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        self._address = f"ws://{parts.netloc}/logs/stream"
        self._headers = [f"Authorization: Bearer {key}"] if key else []
        self._socket: WebSocket | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether lines are being received."""
        return self._socket is not None

    def follow(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with every new line until the stream ends; returns when it does, or cannot be had."""
        try:
            socket = create_connection(self._address, timeout=TIMEOUT_S, header=self._headers, enable_multithread=False)
        except (OSError, WebSocketException):
            return
        try:
            socket.send(json.dumps({"type": "logs.subscribe"}))
            socket.settimeout(None)
            self._socket = socket
            while not self._closed:
                for line in _lines(socket.recv()):
                    tell(line)
        except (OSError, WebSocketException, ValueError):
            return
        finally:
            self._socket = None
            socket.close()

    def close(self) -> None:
        """End `follow`."""
        self._closed = True
        if self._socket is not None:
            self._socket.shutdown()  # type: ignore[no-untyped-call]


def _lines(frame: str | bytes) -> list[str]:
    told = json.loads(frame) if frame else {}
    entry = told.get("entry") if isinstance(told, dict) and told.get("type") == "logs.entry" else None
    return [str(entry["line"])] if isinstance(entry, dict) and "line" in entry else []
