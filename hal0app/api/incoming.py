"""A request as every way into hal0 gives it, Flask's or the fast lane's, and who asks.

Whatever is decided about a request for inference is decided over this, so that all ways decide alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from hal0app import errors
from hal0app.core import headers
from hal0app.core.fair_queue import Priority
from hal0app.core.request_head import Fields

AGENT_LENGTH = 128
T = TypeVar("T")


class Body(Protocol):
    """A body that is read as it comes; `read` gives at most so many bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class Incoming(Protocol):
    """One request. `path` is decoded; `headers` is asked by name in any case, and iterated by `items`."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def headers(self) -> Any: ...
    @property
    def remote_addr(self) -> str | None: ...
    @property
    def content_length(self) -> int | None: ...
    @property
    def mimetype(self) -> str: ...
    @property
    def mimetype_params(self) -> dict[str, str]: ...
    @property
    def stream(self) -> Body: ...


def of_its_head(find: Callable[[Incoming], T]) -> Callable[[Incoming], T]:
    """Of what is found out from a head alone: once for all requests that repeat it, where they have it `known`."""
    name = find.__name__

    @wraps(find)
    def found(request: Incoming) -> T:
        known: dict[str, T] | None = getattr(request, "known", None)
        if known is None:
            return find(request)
        try:
            return known[name]
        except KeyError:
            pass  # nothing that is raised from here on is to tell of it
        told = known[name] = find(request)
        return told

    return found


@of_its_head
def onwards(request: Incoming) -> Fields:
    """The headers that go on with a request whose answer hal0 has to read."""
    return Fields(headers.plain(headers.upwards(request.headers.items())))


@of_its_head
def agent(request: Incoming) -> str | None:
    """Who asks, as far as the request says: what can be read of the X-hal0-Agent header, up to AGENT_LENGTH."""
    told = request.headers.get("X-hal0-Agent")
    if not told:
        return None
    return "".join(filter(str.isprintable, _text(told)[:AGENT_LENGTH])).strip() or None


def _text(told: str) -> str:
    """A header as it was meant: most programs send UTF-8, which HTTP hands on as Latin-1."""
    try:
        return told.encode("latin-1").decode()
    except UnicodeError:
        return told


@of_its_head
def client(request: Incoming) -> str:
    """Whom to be fair to: the API key, as a digest that tells nothing of it, else the address."""
    key = request.headers.get("Authorization") or request.headers.get("X-Api-Key")
    return f"key {hashlib.sha256(key.encode()).hexdigest()[:12]}" if key else f"at {request.remote_addr}"


@of_its_head
def priority(request: Incoming) -> Priority:
    """How urgent the request is: the X-Hal0-Priority header, interactive where there is none."""
    told = request.headers.get("X-Hal0-Priority")
    if told is None:
        return Priority.INTERACTIVE
    try:
        return Priority(told.strip().lower())
    except ValueError:
        message = f"the header X-Hal0-Priority is '{told[:64]}', but must be one of: {', '.join(Priority)}"
        raise errors.error("request.invalid_field", message, param="X-Hal0-Priority") from None
