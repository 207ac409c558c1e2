"""The models: the list, pulls and installs, and the page that asks before one is deleted."""

from __future__ import annotations

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app import errors
from hal0app.errors import Hal0Error
from hal0app.services.models import ModelView
from hal0app.web.blueprint import YOU, answers, asking, begun, bp, page
from hal0app.web.model_filter import ORDERS, WHERE, Wanted
from hal0app.web.model_row import fitting, model_rows
from hal0app.web.site import site

BACK = "/models"
SAID = {"pulling": "The download began.", "deleted": "The model was deleted from disk."}


@bp.get("/models")
def models() -> Response:
    """The models that the address asks for, as last seen."""
    wanted = Wanted.of(request.args)
    shelves = site().hal0.stock.shelves()
    rows = model_rows(shelves)
    nothing_here = shelves.taken is not None and not any(row.here for row in rows)
    memory = _memory() if nothing_here else None
    return page(
        "models", said=SAID.get(request.args.get("said", ""), ""), wanted=wanted, rows=wanted.of_rows(rows),
        hidden=len(rows), orders={key: words for key, (words, _) in ORDERS.items()}, places=WHERE, shelves=shelves,
        offline=site().hal0.lemond_config.offline, answers=answers(), nothing_here=nothing_here, memory=memory,
        suggestions=fitting(shelves, memory),
    )  # fmt: skip


def _memory() -> int | None:
    """The memory that models live in, in bytes; None while it is not known."""
    gauges = site().hal0.machine.gauges()
    return gauges.memory.total if gauges and gauges.memory else None


@bp.post("/models/pull")
def pull() -> AnyResponse:
    """Begin a download."""
    wanted = {
        key: text for key in ("model_name", "checkpoint", "recipe") if (text := request.form.get(key, "").strip())
    }
    if "model_name" not in wanted:
        raise errors.error("request.missing_field", "write the name of a model to download", param="model_name")
    download = site().hal0.models.pull(wanted, YOU).latest
    site().hal0.stock.changed()
    return begun(download.name, f"Downloading {download.name}.", None, f"{BACK}?said=pulling")


@bp.post("/models/<any(load, unload):act>")
def act_on_model(act: str) -> AnyResponse:
    """Load a model in a slot that has it, or without one, or unload it wherever it is used."""
    name, models = request.form.get("model", ""), site().hal0.models
    job = models.load(name, YOU) if act == "load" else models.unload(name, YOU)
    return begun(name, f"{'Loading' if act == 'load' else 'Unloading'} {name}.", job, BACK)


@bp.post("/downloads/<path:id>/<any(pause, resume, cancel, discard):act>")
def control(id: str, act: str) -> AnyResponse:  # noqa: A002 - the name in the address
    """Stop a download, go on with it, give it up, or delete what is there of it."""
    words = {"pause": "paused", "resume": "resumed", "cancel": "given up", "discard": "given up and its part deleted"}
    getattr(site().hal0.downloads, act)(id, YOU)
    site().hal0.stock.changed()
    return begun(id, f"The download of {id.partition(':')[2]} was {words[act]}.", None, BACK)


@bp.post("/backends/<recipe>:<backend>/install")
def install(recipe: str, backend: str) -> AnyResponse:
    """Have a backend installed."""
    begun_now = site().hal0.backends.install(recipe, backend, YOU)
    site().hal0.stock.changed()
    name = f"{recipe}:{backend}"
    return begun(name, f"Installing {name}." if begun_now else f"{name} is installed already.", None, BACK)


def _view(name: str) -> ModelView:
    found = next((one for one in site().hal0.models.all() if one.model.id == name), None)
    if found is None:
        raise errors.error("model.unknown", f"there is no model '{name[:200]}' on this machine")
    return found


@bp.get("/models/delete")
def ask_delete_model() -> Response:
    """Asks, naming the model, what that frees and whom it harms."""
    return asking("model_delete.html", "models", one=_view(request.args.get("model", "")))


@bp.post("/models/delete")
def delete_model() -> AnyResponse:
    """Delete it from disk; one that is loaded is not, and who is named has been told of."""
    name = request.form.get("model", "")
    view = _view(name)
    if view.resident is not None:
        return asking("model_delete.html", "models", 409, one=view)
    try:
        site().hal0.models.delete(name, True, YOU)
    except Hal0Error as problem:
        return asking("model_delete.html", "models", problem.status, problem.message, one=view)
    site().hal0.stock.changed()
    return redirect(f"{BACK}?said=deleted", 303)
