"""The pages and what their buttons do. Every form works without a script: POST, then 303."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from hal0app import errors
from hal0app.errors import Hal0Error
from hal0app.services.jobs import Job
from hal0app.services.slots import Slots
from hal0app.web.painting import Painter
from hal0app.web.regions import VIEWS
from hal0app.web.site import site

bp = Blueprint("web", __name__)

NO_STORE = {"Cache-Control": "no-store"}
FOR_EVER = "public, max-age=31536000, immutable"
WITHOUT_SCRIPT_WAIT_S = 1.0  # long enough for a refusal, and for the page to show what was begun
YOU = "you"

ACTS: dict[str, tuple[Callable[[Slots, str, str], Job], str]] = {
    "load": (Slots.load, "Loading {name}."),
    "unload": (Slots.unload, "Unloading {name}; running answers finish first."),
}


@bp.before_request
def only_from_our_own_pages() -> None:
    """A browser says where a form comes from; what does not say so is not a person at one of our pages."""
    said = request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site") == "same-origin"
    if request.method == "POST" and not said:
        message = "this address is for hal0's own pages (no Origin header); programs use /api"
        raise errors.error("request.forbidden_origin", message)


@bp.get("/")
@bp.get("/slots")
def slots() -> Response:
    """The slot page."""
    return page("slots")


def page(view: str, problem: str = "", status: int = 200) -> Response:
    """A whole page; `problem` is told at its top."""
    shown = site().painter.render(VIEWS[view].template, view=view, region=site().hub.picture(view), problem=problem)
    return Response(shown, status=status, mimetype="text/html", headers=NO_STORE)


def toast(painter: Painter, text: str, failed: bool = False) -> Markup:
    """A short message that appears on a page that is open."""
    return painter.render("partials/_toast.html", text=text, failed=failed)


@bp.post("/slots/<name>/<any(load, unload):act>")
def act(name: str, act: str) -> AnyResponse:
    """Start a load or an unload. The card changes when Lemonade was seen to have done it, not before."""
    start, words = ACTS[act]
    job = start(site().hal0.slots, name, YOU)
    if not _by_script():
        job.wait(WITHOUT_SCRIPT_WAIT_S)
        return redirect("/slots", 303)
    site().outcomes.follow(name, job)
    return _message(words.format(name=name))


def _by_script() -> bool:
    return request.headers.get("HX-Request") == "true"


def _message(text: str, failed: bool = False, status: int = 200) -> Response:
    shown = toast(site().painter, text, failed)
    return Response(shown, status=status, mimetype="text/html", headers={**NO_STORE, "HX-Trigger": "wake"})


@bp.errorhandler(Hal0Error)
def refused(error: Hal0Error) -> Response:
    """The error where the person looks: a message on the open page, or the page again with it at the top."""
    if _by_script():
        return _message(error.message, failed=True, status=error.status)
    return page("slots", error.message, error.status)


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
