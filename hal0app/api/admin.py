"""Who may change something: this machine always, others with the admin key.

Inference (`/v1`) and reading change nothing and are open to whoever reaches the port, except for what is private: who
asked what. What a proxy hands on is never this machine's own, whoever runs the proxy.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.datastructures import Authorization
from werkzeug.http import parse_cookie

from hal0app import errors
from hal0app.api.incoming import Incoming
from hal0app.core import session

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
INFERENCE = ("/v1/", "/api/v1/")
# Of the pages: inference, this browser's own look, and how one gets the right.
HARMLESS = frozenset({"/chat", "/settings/appearance", "/login", "/logout"})
COOKIES = ("hal0-session", "__Host-hal0-session")
PRIVATE = frozenset({"/api/requests"})


@dataclass(frozen=True)
class Admin:
    """The right to change, and to read what is private.

    `open` gives it to everybody, else other machines need `key` (none: nobody there has it).
    """

    open: bool = False
    key: str | None = None
    wall: Callable[[], float] = time.time  # Unix seconds

    def may(self, request: Incoming) -> bool:
        """Whether the sender of this request has the right."""
        return self.open or is_local(request) or self.knows_key(request) or self.knows_cookie(request)

    def knows_cookie(self, request: Incoming) -> bool:
        """Whether it comes from a browser that was given the key. A change counts only from one of our own pages."""
        given = parse_cookie(request.headers.get("Cookie"))
        offered = next((given[name] for name in COOKIES if name in given), None)
        if offered is None or self.key is None or not (request.method in SAFE or _from_our_page(request)):
            return False
        return session.holds(offered, self.key, self.wall())

    def check(self, request: Incoming) -> None:
        """Raise `auth.key_required` unless the sender may do this."""
        if _is_free(request) or self.may(request):
            return
        what = "to read this from another machine" if request.method in SAFE else "to change this from another machine"
        if self.key is None:
            raise errors.error(
                "auth.key_required", f"{what} takes an admin key, and there is none: put one into admin.key"
            )
        how = "sign in at /login, or Authorization: Bearer KEY"
        raise errors.error("auth.key_required", f"{what} takes the admin key: {how}")

    def knows_key(self, request: Incoming) -> bool:
        """Whether the request carries the key itself."""
        given = Authorization.from_header(request.headers.get("Authorization"))
        if given is None or self.key is None:
            return False
        offered = given.token if given.type == "bearer" else given.password
        return hmac.compare_digest((offered or "").encode(), self.key.encode())


def _from_our_page(request: Incoming) -> bool:
    """Whether a browser says so; that it does not say otherwise is checked for every change."""
    own = f"{request.scheme}://{request.headers.get('Host', '')}"
    said = (request.headers.get("Origin") == own, request.headers.get("Sec-Fetch-Site") == "same-origin")
    return any(said)


def _is_free(request: Incoming) -> bool:
    """Whether anybody may do it who reaches the port."""
    if request.method in SAFE:
        return request.path not in PRIVATE
    return request.path.startswith(INFERENCE) or request.path in HARMLESS


def is_local(request: Incoming) -> bool:
    """Whether a program of this machine sent this by itself."""
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
