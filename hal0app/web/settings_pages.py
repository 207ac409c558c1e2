"""The settings: every value with its source, saved to the dashboard's own file and read back."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app.errors import Hal0Error
from hal0app.web import settings_form
from hal0app.web.blueprint import THEME_COOKIE, THEMES, YOU, bp, page
from hal0app.web.site import site

SAVED = "Saved. It takes effect when hal0 restarts."
REFUSED_FORM = 422
YEAR_S = 365 * 86_400


def _page(problem: str = "", wrong: str = "", written: dict[str, str] | None = None, status: int = 200) -> Response:
    try:
        settings = site().hal0.desk.all()
    except Hal0Error as broken:
        settings, problem = [], broken.message
    said = SAVED if request.args.get("said") == "saved" else ""
    return page(
        "settings", problem, status, said, parts=settings_form.parts(settings), wrong=wrong, written=written or {},
        about=_about(), findings=site().hal0.store.findings(),
    )  # fmt: skip


@bp.get("/settings")
def show_settings() -> Response:
    """Every setting."""
    return _page()


@bp.post("/settings/appearance")
def save_theme() -> AnyResponse:
    """Keep how this browser shows hal0, in a cookie of its own."""
    response = redirect("/settings", 303)
    chosen = request.form.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(THEME_COOKIE, chosen, max_age=YEAR_S, samesite="Lax", httponly=True)
    else:
        response.delete_cookie(THEME_COOKIE)
    return response


@bp.post("/settings/<section>")
def save_settings(section: str) -> AnyResponse:
    """Save one section; what is wrong is told at its field, and nothing is written then."""
    desk = site().hal0.desk
    before = desk.all()
    part = next((one for one in settings_form.parts(before) if one.name == section), None)
    changes = settings_form.changed(part, before, request.form) if part else {}
    if not changes:
        return redirect("/settings", 303)
    try:
        after = {one.key: one for one in desk.change(changes, YOU)}
    except Hal0Error as problem:
        return _page(problem.message, problem.param or "", request.form.to_dict(), REFUSED_FORM)
    kept = [after[f"{section}.{name}"] for name, value in changes[section].items() if value is not None]
    overruled = [one for one in kept if one.value != changes[section][one.key.partition(".")[2]]]
    if overruled:
        told = " ".join(f"{one.key} stays {settings_form.text(one.value)}: {one.source} wins." for one in overruled)
        return _page(f"Saved, but {told}")
    return redirect("/settings?said=saved", 303)


def _about() -> list[tuple[str, str]]:
    residency = site().hal0.observer.snapshot.residency
    try:
        own = version("hal0")
    except PackageNotFoundError:
        own = "not installed as a package"
    return [
        ("hal0", own),
        ("Lemonade", residency.version or "not reported"),
        ("Engine", residency.engine or "Lemonade Server"),
        ("Python", platform.python_version()),
        ("System", platform.platform()),
        ("Licences", "hal0: Apache-2.0. htmx: 0BSD."),
    ]
