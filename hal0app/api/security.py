"""Who may talk to us from a browser: a Host allow-list against DNS rebinding, an Origin check on every change.

No login and no token are needed for this: a page of another site can reach us, but only with its own name in Host
or its own address in Origin. Who may do something at all is `admin.py`.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, Response, request

from hal0app import errors
from hal0app.api.admin import SAFE, Admin
from hal0app.api.incoming import Incoming
from hal0app.core.headers import Header

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


_PROTECTING = [(name.lower(), (name, value)) for name, value in HEADERS.items()]


@dataclass(frozen=True)
class Rules:
    """Who may send what: the names that Host may have, and the right to change something."""

    known: frozenset[str]
    admin: Admin

    def check(self, request: Incoming, old: bool = False) -> None:
        """Raise `host.not_allowed`, `request.forbidden_origin`, `auth.key_required`.

        `old`: it came over HTTP/1.0, where many a load balancer's probe sends no Host; a browser always does.
        """
        host = request.headers.get("Host")
        if host is not None or not old:
            check_host(host or "", self.known)
        if request.method not in SAFE:
            check_origin(request)
        self.admin.check(request)


def rules(allowed_hosts: tuple[str, ...], admin: Admin) -> Rules:
    """The rules of this machine."""
    return Rules(frozenset({socket.gethostname().split(".")[0].lower(), *map(str.lower, allowed_hosts)}), admin)


@lru_cache(maxsize=64)
def protected(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """The usual headers of an answer with the security headers that it lacks."""
    there = {name.lower() for name, _ in headers}
    return (*headers, *(pair for name, pair in _PROTECTING if name not in there))


def init_app(app: Flask, rules: Rules) -> None:
    """Check every request and put the security headers on every answer of ours."""
    app.extensions["hal0.admin"] = rules.admin

    @app.before_request
    def check() -> None:
        rules.check(request, old=request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0")

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def check_host(host: str, known: frozenset[str]) -> None:
    """Raise `host.not_allowed` unless `host` is an IP address, a local name, this machine or listed."""
    if _is_ours(host, known):
        return
    name = _name(host)[:100]
    message = f"hal0 does not answer for the host '{name}'. Add it to allowed_hosts in [server] of hal0.toml"
    raise errors.error("host.not_allowed", message)


@lru_cache(maxsize=256)
def _is_ours(host: str, known: frozenset[str]) -> bool:
    name = _name(host)
    return name in known or _is_address(name) or any(_below(name, suffix) for suffix in LOCAL_SUFFIXES)


def _name(host: str) -> str:
    """The name in a Host header, empty when there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _below(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith(f".{suffix}")


def check_origin(request: Incoming) -> None:
    """Raise `request.forbidden_origin` when a browser says that another site's page sends this.

    Programs send neither header. A form of a page sends Origin, and a form cannot send application/json.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.headers.get('Host', '')}"
    if site not in (None, "same-origin") or origin not in (None, own):
        raise errors.error("request.forbidden_origin", "a page of another site may not change anything here")
