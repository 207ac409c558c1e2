"""Who may change something: this machine always, others with the admin key.

Inference (`/v1`) and reading change nothing and are open to whoever reaches the port. What a proxy hands on is never
this machine's own, whoever runs the proxy.
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


@dataclass(frozen=True)
class Admin:
    """The right to change: `open` gives it to everybody, else other machines need `key` (none: nobody there has it)."""

    open: bool = False
    key: str | None = None

    def check(self, request: Incoming) -> None:
        """Raise `auth.key_required` unless the sender of this change may make it."""
        if self.open or request.path.startswith(INFERENCE) or is_local(request) or self._knows_key(request):
            return
        if self.key is None:
            message = "changes from other machines need an admin key, and this hal0 has none: put one into admin.key"
        else:
            message = "changes from other machines need the admin key: Authorization: Bearer KEY"
        raise errors.error("auth.key_required", message)

    def _knows_key(self, request: Incoming) -> bool:
        given = Authorization.from_header(request.headers.get("Authorization"))
        if given is None or self.key is None:
            return False
        offered = given.token if given.type == "bearer" else given.password
        return hmac.compare_digest((offered or "").encode(), self.key.encode())


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
