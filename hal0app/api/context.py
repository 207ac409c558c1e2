"""What every view needs: the application behind the request, and who asks."""

from __future__ import annotations

from flask import current_app, request

from hal0app.api import incoming
from hal0app.api.admin import Admin
from hal0app.services.hal0 import Hal0


def hal0() -> Hal0:
    """The application behind this request."""
    found: Hal0 = current_app.extensions["hal0"]
    return found


def admin() -> Admin:
    """Who may change something."""
    found: Admin = current_app.extensions["hal0.admin"]
    return found


def agent() -> str | None:
    """Who asks, as far as the request says."""
    return incoming.agent(request)


def asked(name: str) -> bool:
    """Whether the query asks for it."""
    return request.args.get(name, "").lower() in {"1", "true", "yes"}
