"""Who may change something: this machine always, others with the admin key.

Inference (`/v1`) and reading change nothing and are open to whoever reaches the port, except for what is private: who
asked what. What a proxy hands on is never this machine's own, whoever runs the proxy.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from werkzeug.datastructures import Authorization

from hal0app import errors
from hal0app.api.incoming import Incoming

FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
INFERENCE = ("/v1/", "/api/v1/")
PRIVATE = frozenset({"/api/requests"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Admin:
    """The right to change, and to read what is private.

    `open` gives it to everybody, else other machines need `key` (none: nobody there has it).
    """

    open: bool = False
    key: str | None = None

    def check(self, request: Incoming) -> None:
        """Raise `auth.key_required` unless the sender may do this."""
        if self.open or _is_free(request) or is_local(request) or self._knows_key(request):
            return
        what = "to read this from another machine" if request.method in SAFE else "to change this from another machine"
        if self.key is None:
            raise errors.error(
                "auth.key_required", f"{what} takes an admin key, and there is none: put one into admin.key"
            )
        raise errors.error("auth.key_required", f"{what} takes the admin key: Authorization: Bearer KEY")

    def _knows_key(self, request: Incoming) -> bool:
        given = Authorization.from_header(request.headers.get("Authorization"))
        if given is None or self.key is None:
            return False
        offered = given.token if given.type == "bearer" else given.password
        return hmac.compare_digest((offered or "").encode(), self.key.encode())


def _is_free(request: Incoming) -> bool:
    """Whether anybody may do it who reaches the port."""
    if request.method in SAFE:
        return request.path not in PRIVATE
    return request.path.startswith(INFERENCE)


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
