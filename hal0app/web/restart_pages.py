"""The restart of hal0 itself: asked first, and waited for on a page that knows when it is over."""

from __future__ import annotations

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app.web.blueprint import YOU, asking, bp
from hal0app.web.site import site

GRACE_S = 3  # gunicorn's graceful_timeout


@bp.get("/settings/restart")
def ask_restart() -> Response:
    """Asks, with the cost."""
    settings = site().hal0.desk.all()
    by_service = [one.key for one in settings if one.pending and one.by_service]
    return asking("restart.html", "settings", running=_running(), grace_s=GRACE_S, by_service=by_service)


def _running() -> int:
    """How many answers are under way."""
    views = [one for one in site().hal0.slots.all() if one.config is not None]
    return sum({one.config.model: one.in_flight for one in views if one.config}.values())


@bp.post("/settings/restart")
def restart() -> AnyResponse:
    """Begin it."""
    site().hal0.restart.begin(YOU)
    return redirect(f"/settings/restarting?before={site().hal0.restart.id}", 303)


@bp.get("/settings/restarting")
def restarting() -> AnyResponse:
    """Asks again by itself until another process answers than the one `before`."""
    if request.args.get("before") != site().hal0.restart.id:
        return redirect("/settings?said=restarted", 303)
    answer = asking("restarting.html", "settings")
    answer.headers["Refresh"] = "1"
    return answer
