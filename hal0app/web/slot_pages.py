"""The pages that ask before something about a slot changes: create, edit, delete, swap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from hal0app import errors
from hal0app.core.operation import last_finished
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import SlotType
from hal0app.errors import Hal0Error
from hal0app.services.definitions import SEEDED
from hal0app.web import slot_form
from hal0app.web.blueprint import YOU, asking, begun, bp
from hal0app.web.site import site

WORDS = {"slot.exists": "Name is taken by a slot.", "request.missing_field": "Choose one."}
NAME_WORDS = "Use lower-case letters, digits, - and _, up to 32, beginning with a letter or digit."
REFUSED_FORM = 422


@dataclass(frozen=True)
class Draft:
    """The form as it is shown: what the person wrote, what is wrong with it, what the file says meanwhile."""

    name: str = ""
    new: bool = False
    etag: str = ""
    texts: dict[str, str] | None = None
    problems: dict[str, str] | None = None
    meanwhile: dict[str, str] | None = None
    summary: str = ""
    overtaken: bool = False
    overtaken_at: float | None = None  # Unix seconds, where the journal tells it


def _form(draft: Draft, status: int = 200) -> Response:
    models = sorted(model.id for model in site().hal0.catalogue.known())
    return asking(
        "slot_form.html",
        "slots",
        status,
        draft=draft,
        fields=slot_form.FIELDS,
        texts=draft.texts if draft.texts is not None else slot_form.texts(None),
        problems=draft.problems or {},
        meanwhile=draft.meanwhile or {},
        first=next(iter(draft.problems or {}), ""),
        models=models,
    )


@bp.get("/slots/new")
def new() -> Response:
    """An empty form, or one for a model of the list."""
    given = {key: request.args.get(key, "") for key in ("model", "type") if request.args.get(key)}
    return _form(Draft(new=True, texts={**slot_form.texts(None), **given}))


@bp.post("/slots/new")
def create() -> AnyResponse:
    """Make the slot, or show what is wrong with it."""
    name = request.form.get("name", "").strip()
    values, problems = slot_form.read(request.form)
    draft = Draft(name, new=True, texts=_written())
    if problems:
        return _wrong(draft, problems)
    try:
        site().hal0.slots.create({"name": name, **slot_form.definition(values)}, YOU)
    except Hal0Error as problem:
        return _refusal(draft, problem)
    return redirect(f"/slots?said=created&slot={name}", 303)


@bp.get("/slots/<name>/edit")
def edit(name: str) -> Response:
    """The form with what the slot's file says."""
    view = site().hal0.slots.one(name)
    return _form(Draft(name, etag=site().hal0.slots.etag(name), texts=slot_form.texts(view.config)))


@bp.post("/slots/<name>/edit")
def save(name: str) -> AnyResponse:
    """Lay the form over the definition, unless that changed meanwhile; a broken file is written anew."""
    slots = site().hal0.slots
    values, problems = slot_form.read(request.form)
    draft = Draft(name, etag=request.form.get("etag", ""), texts=_written())
    if problems:
        return _wrong(draft, problems)
    view = slots.one(name)
    try:
        if view.config is None:
            slots.replace(name, slot_form.definition(values), draft.etag, YOU)
        else:
            slots.change(name, slot_form.changes(values, view.config), draft.etag, YOU)
    except Hal0Error as problem:
        return _conflict(draft) if problem.code == "request.conflict" else _refusal(draft, problem)
    later = view.resident is not None and _reloads(view.config, slots.one(name).config)
    return redirect(f"/slots?said={'reload' if later else 'saved'}&slot={name}", 303)


def _reloads(before: SlotConfig | None, now: SlotConfig | None) -> bool:
    """Whether what is loaded is not what the slot asks for any more."""
    return bool(before and now) and (before.model, before.load_options) != (now.model, now.load_options)  # type: ignore[union-attr]


def _written() -> dict[str, str]:
    return {field.key: request.form.get(field.key, "") for field in slot_form.FIELDS}


def _wrong(draft: Draft, problems: dict[str, str], summary: str = "") -> Response:
    return _form(_with(draft, problems=problems, summary=summary), REFUSED_FORM)


def _refusal(draft: Draft, problem: Hal0Error) -> Response:
    """At the field that it is about, else at the top."""
    key = problem.param or ""
    text = NAME_WORDS if (problem.code, key) == ("slot.invalid", "name") else WORDS.get(problem.code, problem.message)
    known = key == "name" or key in {field.key for field in slot_form.FIELDS}
    return _wrong(draft, {key: text} if known else {}, "" if known else text)


def _conflict(draft: Draft) -> Response:
    """What the person wrote, beside what the file says now, to be saved again."""
    slots = site().hal0.slots
    now = slot_form.texts(slots.one(draft.name).config)
    written = draft.texts or {}
    differing = {key: text or "empty" for key, text in now.items() if text != written.get(key)}
    told = site().recall.told().of_slot.get(draft.name, ())
    changed = next((one.ts for one in told if one.kind == "slot.config"), None)
    again = _with(draft, etag=slots.etag(draft.name), meanwhile=differing, overtaken=True, overtaken_at=changed)
    return _form(again, errors.CODES["request.conflict"].status)


def _with(draft: Draft, **more: Any) -> Draft:
    return Draft(**{**draft.__dict__, **more})


# -- details


@bp.get("/slots/<name>/details")
def details(name: str) -> Response:
    """All that is known about a load that failed, and what can be done."""
    hal0 = site().hal0
    view = hal0.slots.one(name)
    loads = [one for one in hal0.observer.snapshot.operations if one.error_code and one.model == view.record.model]
    last = last_finished(loads, view.record.model)
    return asking("slot_details.html", "slots", slot=view, last=last)


# -- delete


@bp.get("/slots/<name>/delete")
def ask_delete(name: str) -> Response:
    """Asks, naming the slot and the cost."""
    view = site().hal0.slots.one(name)
    return asking("slot_delete.html", "slots", slot=view, seeded=name in SEEDED, etag=site().hal0.slots.etag(name))


@bp.post("/slots/<name>/delete")
def delete(name: str) -> AnyResponse:
    """Delete the slot; its model stays."""
    site().hal0.slots.delete(name, request.form.get("etag"), YOU)
    return redirect(f"/slots?said=deleted&slot={name}", 303)


# -- swap


@bp.get("/slots/<name>/swap")
def ask_swap(name: str) -> Response:
    """The models that the slot could serve, and what the chosen one would cost."""
    hal0 = site().hal0
    config = hal0.slots.one(name).config
    if config is None:
        raise errors.error("slot.invalid", f"slot '{name}' is not valid; mend it first")
    fitting = [model for model in hal0.catalogue.known() if SlotType(model.type) is config.type]
    chosen = request.args.get("model", "")
    cost, problem = _cost(name, chosen) if chosen else (None, "")
    return asking(
        "slot_swap.html", "slots", slot=hal0.slots.one(name), models=sorted(fitting, key=lambda one: one.id),
        chosen=chosen, cost=cost, unknown=problem, leaving=_leaving(name, cost),
    )  # fmt: skip


def _leaving(name: str, cost: dict[str, Any] | None) -> list[str]:
    """Who would be evicted, as people know them: by the slot, with the model behind."""
    configs = [one for one in site().hal0.observer.snapshot.configs if one.enabled and one.name != name]
    slots = {model: [one.name for one in configs if one.model == model] for model in (cost or {}).get("leaves", ())}
    return [f"{', '.join(names)} ({model})" if names else model for model, names in slots.items()]


def _cost(name: str, model: str) -> tuple[dict[str, Any] | None, str]:
    try:
        return site().hal0.slots.preview(name, model), ""
    except Hal0Error as problem:
        return None, problem.message


@bp.post("/slots/<name>/swap")
def swap(name: str) -> AnyResponse:
    """Put the model in, or load the one that the slot has."""
    slots, model = site().hal0.slots, request.form.get("model", "").strip()
    if not model:
        raise errors.error("request.missing_field", "choose a model first", param="model")
    config = slots.one(name).config
    same = config is not None and config.model == model
    job = slots.load(name, YOU) if same else slots.swap(name, model, YOU)
    return begun(name, f"Swapping {name} to {model}.", job, f"/slots?said=swapping&slot={name}")
