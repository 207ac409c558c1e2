"""The slots' own addresses: which slot a request is for because of the port it came in on.

The port is the socket's own, never the Host header's: a name is the client's word. On a slot's port there is `/v1` and
nothing else, so that such a port can be opened to a network without the control API.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, request

from hal0app import errors
from hal0app.api.context import hal0
from hal0app.core.endpoints import within
from hal0app.services.hal0 import Hal0

ALSO = frozenset({"/healthz"})


def init_app(app: Flask) -> None:
    """Keep everything but `/v1` off the slots' ports."""

    @app.before_request
    def check() -> None:
        at = port(hal0(), request.environ.get("gunicorn.socket"))
        if at is None or within(request.path) is not None or request.path in ALSO:
            return
        raise errors.error("request.not_found", "on a slot's port there is /v1 only; see hal0's own address")


def port(hal0: Hal0, peer: Any) -> int | None:
    """The slot port that the request came in on, over the socket `peer`; None on hal0's own address."""
    settings = hal0.settings
    if not settings.slot_ports.ports:
        return None
    local = _local_port(peer)
    return local if local in settings.slot_ports.ports and local != settings.server.port else None


def slot(hal0: Hal0, peer: Any) -> str | None:
    """The slot whose port the request came in on, None on hal0's own address. Raises `slot.no_slot_on_port`."""
    at = port(hal0, peer)
    if at is None:
        return None
    found = next((one.name for one in hal0.observer.snapshot.configs if one.port == at), None)
    if found is None:
        message = f"no slot has the port {at}; GET /api/slots on hal0's own address lists the slots with theirs"
        raise errors.error("slot.no_slot_on_port", message)
    return found


def _local_port(peer: Any) -> int | None:
    name = peer.getsockname() if peer is not None else None
    return name[1] if isinstance(name, tuple) else None
