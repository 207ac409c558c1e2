"""Who may talk to us from a browser: a Host allow-list against DNS rebinding, an Origin check on every change.

No login and no token are needed for this: a page of another site can reach us, but only with its own name in Host
or its own address in Origin. Who may change something at all is `admin.py`.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from hal0app import errors
from hal0app.api.admin import Admin

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_SUFFIXES = ("localhost", "local", "lan", "internal", "home.arpa")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def init_app(app: Flask, allowed_hosts: tuple[str, ...], admin: Admin) -> None:
    """Check every request and put the security headers on every answer of ours."""
    known = frozenset({socket.gethostname().split(".")[0].lower(), *(host.lower() for host in allowed_hosts)})

    @app.before_request
    def check() -> None:
        check_host(request.headers.get("Host", ""), known)
        if request.method not in SAFE:
            check_origin(request)
            admin.check(request)

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def check_host(host: str, known: frozenset[str]) -> None:
    """Raise `host.not_allowed` unless `host` is an IP address, a local name, this machine or listed."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        name = ""
    if name in known or _is_address(name) or any(_below(name, suffix) for suffix in LOCAL_SUFFIXES):
        return
    message = f"hal0 does not answer for the host '{name[:100]}'. Add it to allowed_hosts in [server] of hal0.toml"
    raise errors.error("host.not_allowed", message)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _below(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith(f".{suffix}")


def check_origin(request: Request) -> None:
    """Raise `request.forbidden_origin` when a browser says that another site's page sends this.

    Programs send neither header. A form of a page sends Origin, and a form cannot send application/json.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.headers.get('Host', '')}"
    if site not in (None, "same-origin") or origin not in (None, own):
        raise errors.error("request.forbidden_origin", "a page of another site may not change anything here")
