"""Requests through proxies that are trusted (`server.trusted_proxies`) get their client's address and scheme.

Nothing becomes this machine's own by that: `admin.py` looks at the headers, which stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hal0app.core import proxies

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]
SCHEMES = ("http", "https")


def behind(application: Application, trusted: Sequence[str]) -> Application:
    """The application as it is reached through proxies with these addresses or networks."""
    networks = [proxies.network(one) for one in trusted]

    def call(environ: Environ, start_response: Any) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR", "")
        if proxies.is_trusted(peer, networks):
            forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
            environ["REMOTE_ADDR"] = proxies.client(peer, forwarded.split(",") if forwarded else [], networks)
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
            environ["wsgi.url_scheme"] = scheme if scheme in SCHEMES else environ["wsgi.url_scheme"]
        return application(environ, start_response)

    return call if networks else application
