"""Where a browser on another machine is given the right to change something, and gives it back."""

from __future__ import annotations

import hmac

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app.core.journal import Entry
from hal0app.web.access import access, sender, sign_in, sign_out
from hal0app.web.blueprint import asking, bp
from hal0app.web.site import site

WRONG, TOO_MANY = "That is not the admin key.", "Too many tries. Wait 1 minute."
FORBIDDEN, TOO_MANY_REQUESTS = 403, 429


def _form(next_: str, problem: str = "", status: int = 200) -> Response:
    return asking("login.html", "", status, next=next_, wrong=problem, standing=access(site().rights))


def _local(path: str) -> str:
    """Where to go afterwards: a page of ours, whatever the address says."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\", "/login"))
    return path if ours and path.isprintable() else "/"


@bp.get("/login")
def login() -> Response:
    """The form."""
    return _form(_local(request.args.get("next", "/")))


@bp.post("/login")
def enter() -> AnyResponse:
    """Compare the key; the right one is kept as a cookie for a month."""
    rights, next_ = site().rights, _local(request.form.get("next", "/"))
    if not site().tries.take(sender()):
        return _form(next_, TOO_MANY, TOO_MANY_REQUESTS)
    given = request.form.get("key", "").strip()
    if rights.key is None or not hmac.compare_digest(given.encode(), rights.key.encode()):
        _tell("auth.refused", f"a wrong admin key was tried from {sender()}", "warning")
        return _form(next_, WRONG, FORBIDDEN)
    _tell("auth.login", f"a browser at {sender()} was given the right to change things", "info")
    response = redirect(next_, 303)
    sign_in(response, rights.key, site().hal0.clock().wall)
    return response


@bp.post("/logout")
def leave() -> AnyResponse:
    """Give the right back."""
    response = redirect("/", 303)
    sign_out(response)
    return response


def _tell(kind: str, message: str, level: str) -> None:
    site().hal0.store.write_journal([Entry(site().hal0.clock().wall, kind, message, level)])
