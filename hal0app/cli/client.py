"""How the commands ask hal0: plain HTTP to HAL0_URL, and errors that end a command with a message and a status.

The standard library's client, because it starts faster than any other.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click

from hal0app.cli.exits import REFUSED, UNREACHABLE

DEFAULT_URL = "http://127.0.0.1:8080"
READ_S = 60.0
LOAD_S = 1800.0  # a load may wait for another one, each up to lemond's own limit, twice
STREAM_S = 60.0  # the live stream sends a comment well within this
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Refused(click.ClickException):
    """hal0 answered with an error, told as it is."""

    exit_code = REFUSED

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        code, message = error.get("code"), error.get("message") or f"hal0 answered {status}"
        super().__init__(f"{message} ({code})" if code else message)
        self.status, self.code = status, code


class Unreachable(click.ClickException):
    """Nothing answers at hal0's address, or something that is not hal0."""

    exit_code = UNREACHABLE


@dataclass(frozen=True)
class Event:
    """One event of a live stream."""

    id: str
    data: Any


class Client:
    """hal0 at `url`. Every call raises Refused or Unreachable."""

    def __init__(self, url: str | None = None, timeout_s: float = READ_S) -> None:
        self.url = (url or os.environ.get("HAL0_URL") or DEFAULT_URL).rstrip("/")
        self._timeout_s = timeout_s
        parts = urlsplit(self.url)
        if parts.scheme not in CONNECTIONS or not parts.hostname:
            raise click.UsageError(f"HAL0_URL is '{self.url}', but must look like {DEFAULT_URL}")
        self._connect, self._netloc, self._path = CONNECTIONS[parts.scheme], parts.netloc, parts.path

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`."""
        return self._json("GET", address(path, query))

    def post(self, path: str, body: Any = None, timeout_s: float | None = None, **query: Any) -> Any:
        """The JSON answer to a POST of `body`; None when there is none."""
        return self._json("POST", address(path, query), body, timeout_s)

    def patch(self, path: str, body: Any) -> Any:
        """The JSON answer to a PATCH of `body`."""
        return self._json("PATCH", path, body)

    def delete(self, path: str, timeout_s: float | None = None, **query: Any) -> None:
        """DELETE `path`."""
        self._json("DELETE", address(path, query), None, timeout_s)

    def events(self, path: str, last_id: str | None) -> Iterator[Event]:
        """The events of a live stream after `last_id`, until the connection ends."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        connection, answer = self._send("GET", path, None, headers, STREAM_S)
        try:
            if answer.status != 200:
                _checked(answer.status, answer.read())
            yield from read_events(answer)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: Any = None, timeout_s: float | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if sent is not None else {}
        connection, answer = self._send(method, path, sent, headers, timeout_s or self._timeout_s)
        try:
            return _checked(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as problem:
            raise self._lost(problem) from None
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connect(self._netloc, timeout=timeout_s)
        try:
            sent = {"X-hal0-Agent": "cli", **authorization(os.environ), **headers}
            connection.request(method, self._path + path, body, sent)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as problem:
            connection.close()
            raise self._lost(problem) from None

    def _lost(self, problem: Exception) -> Unreachable:
        reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        advice = "Is it running? See `systemctl status hal0`; HAL0_URL says where it is."
        return Unreachable(f"hal0 does not answer at {self.url} ({reason}). {advice}")


def authorization(environment: Mapping[str, str]) -> dict[str, str]:
    """The header that carries the admin key in HAL0_KEY, which a hal0 on another machine wants for changes."""
    key = environment.get("HAL0_KEY", "").strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def address(path: str, query: dict[str, Any]) -> str:
    """`path` with those parameters that are set."""
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe=":")


def _checked(status: int, raw: bytes) -> Any:
    try:
        told = json.loads(raw) if raw else None
    except ValueError:
        raise Unreachable(f"something answers there, but not hal0's API (status {status}); check HAL0_URL") from None
    if status >= 400:
        error = told.get("error") if isinstance(told, dict) else None
        raise Refused(status, error if isinstance(error, dict) else {})
    return told


def read_events(lines: Iterator[bytes] | http.client.HTTPResponse) -> Iterator[Event]:
    """Events with data, of lines of text/event-stream; comments are heartbeats."""
    id_, data = "", ""
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            id_ = value
        elif name == "data":
            data += value
        elif not line and data:
            yield Event(id_, json.loads(data))
            data = ""
