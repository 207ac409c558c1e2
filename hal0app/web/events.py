"""`GET /events?view=`: the one stream of an open page."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

from flask import Blueprint, Request, Response, request

from hal0app import errors
from hal0app.core import sse
from hal0app.web.hub import Place
from hal0app.web.regions import VIEWS
from hal0app.web.site import site

bp = Blueprint("events", __name__)

SIGN_IN = sse.frame("now", "signin")
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


class _Stream:
    """The frames as WSGI iterates them; closing it, begun or not, gives the place back."""

    def __init__(
        self,
        place: Place,
        closing: Callable[[], bool],
        connection: socket.socket | None,
        signed_in: Callable[[], bool] = lambda: True,
    ) -> None:
        self._place, self._frames = place, _until_end(place, closing, connection, signed_in)

    def __iter__(self) -> Iterator[bytes]:
        return self._frames

    def close(self) -> None:
        self._place.close()


def _counted(address: str) -> str:
    """The address that counts; this machine's own does not, for a proxy may stand there."""
    try:
        return "" if ipaddress.ip_address(address).is_loopback else address
    except ValueError:
        return ""


def _until_end(
    place: Place, closing: Callable[[], bool], connection: socket.socket | None, signed_in: Callable[[], bool]
) -> Iterator[bytes]:
    """The frames, for who signed in as long as that holds; then an event that sends the page to sign in again.

    A stream that ends because hal0 stops takes no further request, or the stop would wait for one.
    """
    for frame in place:
        if not signed_in():
            yield SIGN_IN
            return
        yield frame
    if closing() and connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)


def _signed_in() -> Callable[[], bool]:
    """Whether a page that was made for somebody who signed in (`signed=1`) still may show what it shows."""
    if request.args.get("signed") != "1":
        return lambda: True
    rights, asking = site().rights, cast("Request", request._get_current_object())  # type: ignore[attr-defined]
    return lambda: rights.may(asking)


def _whole(view: str, event: str) -> Response:
    """The page's regions at once, for a page that asks again, and as `event` what a beat would tell."""
    hub = site().hub
    told = json.dumps({event: hub.pulse()})
    return Response(hub.whole(view), mimetype="text/html", headers={**HEADERS, "HX-Trigger": told})


@bp.get("/events")
def events() -> Response:
    """The stream of a view; while all places are taken, the whole page as HTML, and the page will ask again."""
    view = request.args.get("view", "slots")
    if view not in VIEWS:
        raise errors.error("request.invalid_field", f"there is no view '{view[:32]}'", param="view")
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream", headers=HEADERS)
    signed_in = _signed_in()
    if request.args.get("poll") == "1":  # a proxy on the way keeps streams back
        return _whole(view, "kept-back" if signed_in() else "signin")
    place = site().hub.join(view, _counted(request.remote_addr or ""))
    if place is None:
        return _whole(view, "polling" if signed_in() else "signin")
    hub, connection = site().hub, request.environ.get("gunicorn.socket")
    stream = _Stream(place, lambda: hub.closed, connection, signed_in)
    return Response(stream, mimetype="text/event-stream", headers=HEADERS)
