"""What changes lemond: loads, pins, its configuration, and downloads, of which this engine has none."""

from __future__ import annotations

import contextlib

from hal0app.embedded import errors
from hal0app.embedded.config import DEFAULTS
from hal0app.embedded.engine import Engine
from hal0app.embedded.http import Answer, Request, as_json

# Why lemond does not delete the files of a source.
UNDELETABLE = {
    "extra_models_dir": (
        "Cannot delete extra models via API. Models in --extra-models-dir are user-managed. "
        "Delete the file directly from: {path}"
    ),
    "local_path": "Could not find models-- directory in path: {path}",
}


def load(engine: Engine, request: Request) -> Answer:
    body = request.json()
    name = body.get("model_name") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise errors.invalid_request("Invalid request: model_name must be a string")
    loaded = engine.router.load(name, body)
    checkpoint = {"checkpoint": str(loaded.path), "model_name": name, "recipe": loaded.recipe}
    return as_json({**checkpoint, "status": "success"})


def unload(engine: Engine, request: Request) -> Answer:
    """A missing name, an empty or a malformed body unloads everything."""
    try:
        body = request.json()
    except errors.EngineError:
        body = None
    body = body if isinstance(body, dict) else {}
    name = body.get("model_name") or body.get("model")
    if not isinstance(name, str):
        engine.router.unload_all()
        return as_json({"message": "All models unloaded successfully", "status": "success"})
    engine.router.unload(name)
    return as_json({"message": "Model unloaded successfully", "model_name": name, "status": "success"})


def pin(engine: Engine, request: Request) -> Answer:
    body = request.json()
    name, pinned = body.get("model_name"), body.get("pinned")
    if not isinstance(name, str):
        raise errors.typed(400, "Parameter 'model_name' is required and must be a string", "invalid_request_error")
    if not isinstance(pinned, bool):
        raise errors.typed(400, "Parameter 'pinned' is required and must be a boolean", "invalid_request_error")
    engine.router.pin(name, pinned=pinned)
    return as_json({"model_name": name, "pinned": pinned, "status": "success"})


def config(engine: Engine, request: Request) -> Answer:
    return as_json(engine.config.snapshot())


def config_defaults(engine: Engine, request: Request) -> Answer:
    return as_json(DEFAULTS)


def set_config(engine: Engine, request: Request) -> Answer:
    try:
        changes = request.json()
    except errors.EngineError:
        raise errors.plain(400, "Invalid JSON in request body") from None
    if not isinstance(changes, dict) or not changes:
        raise errors.plain(400, "Request body must be a non-empty JSON object")
    return as_json({"status": "success", "updated": engine.config.set(changes)})


def downloads(engine: Engine, request: Request) -> Answer:
    return as_json([])


def pull(engine: Engine, request: Request) -> Answer:
    if engine.config["offline"]:
        raise errors.plain(400, "Lemond is in offline mode, models not downloaded", code="lemond_offline")
    raise errors.plain(400, "The embedded engine does not download models: put GGUF files into its extra_models_dir")


def delete(engine: Engine, request: Request) -> Answer:
    """Like lemond, it unloads first and then refuses for a file that it did not download, which is every one here."""
    body = request.json()
    name = str(body.get("model_name") or body.get("model")) if isinstance(body, dict) else ""
    found = engine.catalogue.find(name)
    if found is None:
        raise errors.plain(422, f"Model not found: {name}")
    with contextlib.suppress(errors.EngineError):
        engine.router.unload(name)
    raise errors.plain(500, UNDELETABLE.get(found.source, "Cannot delete {path}").format(path=found.path))


def control_download(engine: Engine, request: Request) -> Answer:
    """There is no download to control; to remove one that is not there is no error."""
    body = request.json()
    if not isinstance(body, dict) or not body.get("id") or not body.get("action"):
        raise errors.plain(400, "Both 'id' and 'action' are required")
    if body["action"] == "remove":
        return as_json({"status": "ok", "missing": True})
    raise errors.plain(404, "Download not found")


def install(engine: Engine, request: Request) -> Answer:
    """Its own llama.cpp is there already, and nothing else can be had."""
    body = request.json()
    wanted = {key: body.get(key) for key in ("backend", "recipe")} if isinstance(body, dict) else {}
    if not all(wanted.values()):
        raise errors.plain(400, "Both 'recipe' and 'backend' are required")
    name = f"{wanted['recipe']}:{wanted['backend']}"
    if name == "llamacpp:system":
        return as_json({**wanted, "status": "success"})
    raise errors.plain(400, f"Cannot install {name} on this system: it is not part of the embedded engine", **wanted)
