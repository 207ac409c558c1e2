"""What every view needs: the application behind the request, and who asks."""

from __future__ import annotations

import hashlib

from flask import current_app, request

from hal0app import errors
from hal0app.core.fair_queue import Priority
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


def client() -> str:
    """Whom to be fair to: the API key, as a digest that tells nothing of it, else the address."""
    key = request.headers.get("Authorization") or request.headers.get("X-Api-Key")
    return f"key {hashlib.sha256(key.encode()).hexdigest()[:12]}" if key else f"at {request.remote_addr}"


def priority() -> Priority:
    """How urgent the request is: the X-Hal0-Priority header, interactive where there is none."""
    told = request.headers.get("X-Hal0-Priority")
    if told is None:
        return Priority.INTERACTIVE
    try:
        return Priority(told.strip().lower())
    except ValueError:
        message = f"the header X-Hal0-Priority is '{told[:64]}', but must be one of: {', '.join(Priority)}"
        raise errors.error("request.invalid_field", message, param="X-Hal0-Priority") from None
