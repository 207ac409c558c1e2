"""Which HTTP headers cross hal0, and in which direction."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

Header = tuple[str, str]
Headers = list[Header]

STREAM = "text/event-stream"

# RFC 9110 section 7.6.1, and what belongs to one connection only.
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)
# lemond refuses foreign origins on every route, and its key is not the client's (lemonade-contract.md sections 1, 2).
NOT_UPWARDS = HOP_BY_HOP | {"host", "origin", "referer", "cookie", "authorization", "content-length", "x-api-key"}
NOT_DOWNWARDS = HOP_BY_HOP | {"server", "date", "set-cookie", "x-request-id"}  # the last is told by hal0

_USUAL_CONNECTION = frozenset({"keep-alive", "Keep-Alive", "close"})  # these name no header


def upwards(headers: Iterable[tuple[str, str]]) -> Headers:
    """The client's headers that go to the upstream; the length is set by whoever sends the body."""
    pairs = list(headers)
    return _unnamed(pairs, [pair for pair in pairs if _goes_up(pair[0])])


def plain(headers: Headers) -> Headers:
    """Without the wish for compression: what hal0 must read itself has to come as it is."""
    return [(name, value) for name, value in headers if name.lower() != "accept-encoding"]


@lru_cache(maxsize=16)
def downwards(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """The upstream's headers that go to the client."""
    return tuple(_unnamed(list(headers), [pair for pair in headers if _goes_down(pair[0])]))


def sized(headers: Iterable[Header]) -> tuple[tuple[Header, ...], Headers]:
    """Headers without the length that comes last, which is another one every time, and that."""
    pairs = tuple(headers)
    return (pairs[:-1], [pairs[-1]]) if pairs and pairs[-1][0] == "Content-Length" else (pairs, [])


def _unnamed(headers: Headers, crossing: Headers) -> Headers:
    """Those of `crossing` that a Connection header does not name as belonging to the connection."""
    told = [value for name, value in headers if name.lower() == "connection"]
    if all(value in _USUAL_CONNECTION for value in told):
        return crossing
    named = {name.strip().lower() for value in told for name in value.split(",")}
    return [pair for pair in crossing if pair[0].lower() not in named]


@lru_cache(maxsize=1024)
def _goes_up(name: str) -> bool:
    return _crosses(name, NOT_UPWARDS) and not name.lower().startswith("x-forwarded-")


@lru_cache(maxsize=1024)
def _goes_down(name: str) -> bool:
    return _crosses(name, NOT_DOWNWARDS)


def _crosses(name: str, barred: frozenset[str] | set[str]) -> bool:
    lower = name.lower()
    return lower not in barred and not lower.startswith("access-control-")


def value(headers: Iterable[tuple[str, str]], name: str) -> str:
    """The first value of a header, empty when it is absent."""
    wanted = name.lower()
    for one, found in headers:
        if one.lower() == wanted:
            return found
    return ""


def is_stream(headers: Iterable[Header]) -> bool:
    """Whether the answer is a stream of server-sent events."""
    return kind(tuple(headers)).startswith(STREAM)


@lru_cache(maxsize=16)
def kind(headers: tuple[Header, ...]) -> str:
    """The content type in lower case, empty when there is none."""
    return value(headers, "content-type").lower()
