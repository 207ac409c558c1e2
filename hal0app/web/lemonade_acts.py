"""What a person can do about Lemonade from its banner."""

from __future__ import annotations

from flask import redirect
from werkzeug.wrappers import Response as AnyResponse

from hal0app.web.blueprint import YOU, bp, by_script, message
from hal0app.web.site import site


@bp.post("/lemonade/start")
def start_lemonade() -> AnyResponse:
    """Have systemd start it; the banner follows what becomes of that."""
    site().hal0.starter.start(YOU)
    return message("Lemonade is being started.") if by_script() else redirect("/", 303)
