"""The plain pages, and the files they are made with."""

from __future__ import annotations

from flask import Response, request

from hal0app import errors
from hal0app.core.slot_config import NAME
from hal0app.web.blueprint import bp, page
from hal0app.web.site import site

FOR_EVER = "public, max-age=31536000, immutable"

# What a form that was accepted says on the page to which it leads: by a word of ours, never a text of the address.
SAID = {
    "created": "Slot {slot} was created.",
    "saved": "Slot {slot} was saved.",
    "reload": "Slot {slot} was saved. It takes effect when the slot reloads.",
    "deleted": "Slot {slot} was deleted; its model stays on disk.",
    "swapping": "Swapping the model of {slot}; running answers finish first.",
}


@bp.get("/")
def home() -> Response:
    """The overview."""
    return page("overview")


@bp.get("/slots")
def slots() -> Response:
    """The slot page."""
    word, name = request.args.get("said", ""), request.args.get("slot", "")
    known = word in SAID and NAME.fullmatch(name)
    reload = name if known and word == "reload" else ""
    return page("slots", said=SAID[word].format(slot=name) if known else "", reload=reload)


@bp.get("/static/<name>")
def static(name: str) -> Response:
    """A script, a style sheet or an icon, under the name that carries its hash."""
    asset = site().assets.served(name)
    if asset is None:
        raise errors.error("request.not_found", "there is no such file")
    packed = request.accept_encodings["gzip"] > 0
    response = Response(asset.packed if packed else asset.body, mimetype=asset.mimetype)
    response.headers["Cache-Control"] = FOR_EVER
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    return response
