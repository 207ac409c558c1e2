"""The settings: every value with its source, saved to the dashboard's own file and read back."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app.errors import Hal0Error
from hal0app.services.lemond_config import WANT
from hal0app.web import lemond_form, setting_input, settings_form
from hal0app.web.blueprint import THEME_COOKIE, THEMES, YOU, answers, bp, page
from hal0app.web.diagnostics import diagnostics
from hal0app.web.site import site

SAID = {
    "saved": "Saved. It takes effect when hal0 restarts.",
    "lemond": "Saved, and read back from Lemonade.",
    "restarted": "hal0 was restarted.",
}
REFUSED_FORM = 422
YEAR_S = 365 * 86_400


def _page(problem: str = "", wrong: str = "", written: dict[str, str] | None = None, status: int = 200) -> Response:
    try:
        settings = site().hal0.desk.all()
    except Hal0Error as broken:
        settings, problem = [], broken.message
    said = SAID.get(request.args.get("said", ""), "")
    reading = site().hal0.lemond_config.shown()
    want: dict[str, Any] = next((one.value for one in settings if one.key == WANT), {})
    parts = settings_form.with_key(settings_form.parts(settings), site().hal0.lemonade_key)
    who_may = settings_form.who_may(settings, site().rights.key is not None)
    return page(
        "settings", problem, status, said, parts=parts, who_may=who_may, wrong=wrong, written=written or {},
        about=_about(), diagnostics=diagnostics(_about()), findings=site().hal0.store.findings(), reading=reading,
        can_save=answers(), lemond=lemond_form.inputs(reading, want),
        pending=sum(one.pending for one in settings),
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


@bp.post("/settings/lemond")
def save_lemond() -> AnyResponse:
    """Change lemond's own settings, and say what it made of them."""
    config = site().hal0.lemond_config
    reading = config.shown()
    changes = lemond_form.changed(reading, request.form)
    if not changes:
        return redirect("/settings", 303)
    try:
        kept = config.change(changes, YOU)
    except Hal0Error as problem:
        wrong = f"{lemond_form.PREFIX}{problem.param}" if problem.param else ""
        written = setting_input.written(lemond_form.inputs(reading, {}), request.form)
        return _page(problem.message, wrong, written, REFUSED_FORM)
    if kept:
        return _page(f"Saved, but: {lemond_form.told(kept)}")
    return redirect("/settings?said=lemond", 303)


@bp.post("/settings/<section>")
def save_settings(section: str) -> AnyResponse:
    """Save one section; what is wrong is told at its field, and nothing is written then."""
    desk = site().hal0.desk
    before = desk.all()
    part = next((one for one in settings_form.parts(before) if one.name == section), None)
    changes = settings_form.changed(part, before, request.form) if part else {}
    if part is None or not changes:
        return redirect("/settings", 303)
    try:
        after = {one.key: one for one in desk.change(changes, YOU)}
    except Hal0Error as problem:
        written = setting_input.written(part.inputs, request.form)
        return _page(problem.message, problem.param or "", written, REFUSED_FORM)
    kept = [after[f"{section}.{name}"] for name, value in changes[section].items() if value is not None]
    overruled = [one for one in kept if one.value != changes[section][one.key.partition(".")[2]]]
    if overruled:
        told = " ".join(f"{one.key} stays {setting_input.text(one.value)}: {one.source} wins." for one in overruled)
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
