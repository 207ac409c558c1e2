"""What every page shares: who may send a form, how a page or a message is answered, how an error is shown."""

from __future__ import annotations

import gzip

from flask import Blueprint, Response, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from hal0app import errors
from hal0app.errors import Hal0Error
from hal0app.services.jobs import Job
from hal0app.web.access import access
from hal0app.web.painting import Painter
from hal0app.web.regions import ASKING, VIEWS
from hal0app.web.site import site

bp = Blueprint("web", __name__)

NO_STORE = {"Cache-Control": "no-store", "Vary": "HX-Request, Accept-Encoding"}
PACKING = 5  # a millisecond for the largest page
WITHOUT_SCRIPT_WAIT_S = 1.0  # long enough for a refusal, and for the page to show what was begun
YOU = "you"
BELONGS = {"downloads": "models", "backends": "models"}  # the first part of an address -> the page it is pressed on
THEME_COOKIE = "hal0-theme"
THEMES = ("light", "dark")


@bp.before_request
def only_from_our_own_pages() -> None:
    """A browser says where a form comes from; what does not say so is not a person at one of our pages."""
    said = request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site") == "same-origin"
    if request.method == "POST" and not said:
        message = "this address is for hal0's own pages (no Origin header); programs use /api"
        raise errors.error("request.forbidden_origin", message)


def theme() -> str:
    """`light` or `dark`, as this browser was told to show hal0; empty: as its system does."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def by_script() -> bool:
    """Whether htmx asks, which wants a part of a page or a message."""
    return request.headers.get("HX-Request") == "true"


def answers() -> bool:
    """Whether Lemonade answers, so that it can be told to do something."""
    return site().hal0.observer.snapshot.seen.link.answers


def page(
    view: str, problem: str = "", status: int = 200, said: str = "", current: str = "", **facts: object
) -> Response:
    """A whole page; `problem` or `said` is told at its top. `current`: where it belongs in the navigation."""
    shown = site().painter.render(
        VIEWS[view].template, frame="layout.html", view=view, current=current or view, region=site().hub.picture(view),
        problem=problem, said=said, theme=theme(), access=access(site().rights), **facts,
    )  # fmt: skip
    return _html(shown, status)


def asking(template: str, current: str, status: int = 200, problem: str = "", **facts: object) -> Response:
    """A page that asks a person something, below the page `current`; for a script only what goes into a dialog."""
    frame = "dialog.html" if by_script() else "layout.html"
    shown = site().painter.render(
        template, frame=frame, view=ASKING, current=current, region=site().hub.picture(ASKING), problem=problem,
        said="", theme=theme(), access=access(site().rights), **facts,
    )  # fmt: skip
    return _html(shown, status)


def _html(shown: Markup, status: int) -> Response:
    if request.accept_encodings["gzip"] <= 0:
        return Response(shown, status=status, mimetype="text/html", headers=NO_STORE)
    packed = gzip.compress(shown.encode(), PACKING, mtime=0)
    headers = {**NO_STORE, "Content-Encoding": "gzip"}
    return Response(packed, status=status, mimetype="text/html", headers=headers)


def toast(painter: Painter, text: str, failed: bool = False) -> Markup:
    """A short message that appears on a page that is open."""
    return painter.render("partials/_toast.html", text=text, failed=failed)


def message(text: str, failed: bool = False, status: int = 200) -> Response:
    """A message as the answer to a button."""
    shown = toast(site().painter, text, failed)
    return Response(shown, status=status, mimetype="text/html", headers={**NO_STORE, "HX-Trigger": "wake"})


def begun(about: str, words: str, job: Job | None, back: str) -> AnyResponse:
    """The answer to an act on `about`: said at once to a script, which hears later how the job ended; else 303."""
    if by_script():
        if job is not None:
            site().outcomes.follow(about, job)
        return message(words)
    if job is not None and not job.wait(WITHOUT_SCRIPT_WAIT_S):
        site().outcomes.follow(about, job)
    return redirect(back, 303)


@bp.errorhandler(Hal0Error)
def refused(error: Hal0Error) -> Response:
    """The error where the person looks: a message on the open page, or a page with the way back."""
    if by_script():
        return message(error.message, failed=True, status=error.status)
    first = request.path.strip("/").partition("/")[0]
    current = first if first in VIEWS else BELONGS.get(first, "slots")
    heading = "There is no such page" if (request.method, error.status) == ("GET", 404) else "That was not done"
    return asking("problem.html", current, error.status, error.message, heading=heading)
