"""Whether this browser may change something, and how it gets the right: the admin key, given once, kept in a cookie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flask import Request, request
from werkzeug.wrappers import Response

from hal0app.core import session

COOKIE = "hal0-session"
SECURE_COOKIE = f"__Host-{COOKIE}"


class Rights(Protocol):
    """Who may change something; `key` None: nobody on another machine."""

    @property
    def key(self) -> str | None: ...
    def may(self, request: Request) -> bool: ...
    def knows_cookie(self, request: Request) -> bool: ...


@dataclass(frozen=True)
class Access:
    """What a page needs to know. `signed_in`: by the cookie, so one can sign out. `here`: where to come back to."""

    may: bool = True
    signed_in: bool = False
    key_exists: bool = True
    here: str = "/"


def access(rights: Rights) -> Access:
    """The access of this request."""
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return Access(rights.may(request), rights.knows_cookie(request), rights.key is not None, here)


def sign_in(response: Response, key: str, now: float) -> None:
    """Give the browser its cookie."""
    response.set_cookie(
        _name(), session.issue(key, now), max_age=session.LASTS_S, path="/", httponly=True, samesite="Lax",
        secure=request.is_secure,
    )  # fmt: skip


def sign_out(response: Response) -> None:
    """Take the cookie back."""
    response.delete_cookie(_name(), path="/", httponly=True, samesite="Lax", secure=request.is_secure)


def _name() -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE


def sender() -> str:
    """The address that tries a key: behind a trusted proxy, the one that the proxy saw."""
    return request.remote_addr or ""
