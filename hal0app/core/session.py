"""The cookie of a browser that was given the admin key: when it ends, signed with that key, so another key ends it.

Nothing is kept of it on the server.
"""

from __future__ import annotations

import hashlib
import hmac

LASTS_S = 30 * 86_400


def issue(key: str, now: float) -> str:
    """A cookie that holds for `LASTS_S` seconds from `now` (Unix seconds)."""
    until = str(int(now) + LASTS_S)
    return f"{until}.{_signature(key, until)}"


def holds(cookie: str, key: str, now: float) -> bool:
    """Whether the cookie was made with this key and has not ended."""
    until, _, signature = cookie.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(key, until).encode()):
        return False
    return int(until) > now


def _signature(key: str, until: str) -> str:
    return hmac.new(key.encode(), f"hal0 session until {until}".encode(), hashlib.sha256).hexdigest()
