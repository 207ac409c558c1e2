"""What every view needs: the application behind the request, and who asks."""

from __future__ import annotations

from flask import current_app, request

from hal0app.services.hal0 import Hal0

AGENT_LENGTH = 128


def hal0() -> Hal0:
    """The application behind this request."""
    found: Hal0 = current_app.extensions["hal0"]
    return found


def agent() -> str | None:
    """Who asks, as far as the request says: what can be read of the X-hal0-Agent header, up to AGENT_LENGTH."""
    told = request.headers.get("X-hal0-Agent", "")[:AGENT_LENGTH]
    return "".join(filter(str.isprintable, told)).strip() or None


def asked(name: str) -> bool:
    """Whether the query asks for it."""
    return request.args.get(name, "").lower() in {"1", "true", "yes"}
