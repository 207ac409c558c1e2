"""lemond's endpoints as one table: method and path to a view."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from hal0app.embedded import errors, flm, host, log_stream
from hal0app.embedded.config import DEFAULTS
from hal0app.embedded.engine import VERSION, Engine
from hal0app.embedded.http import Answer, Application, Reply, Request, Stream, Upgrade, as_json
from hal0app.embedded.relay import Endpoint

View = Callable[[Engine, Request], Reply]

PREFIXES = ("/v1/", "/v0/", "/api/v1/", "/api/v0/")
TYPES = ("classification", "embedding", "image", "llm", "reranking", "transcription", "tts")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

# Why lemond does not delete the files of a source.
UNDELETABLE = {
    "extra_models_dir": (
        "Cannot delete extra models via API. Models in --extra-models-dir are user-managed. "
        "Delete the file directly from: {path}"
    ),
    "local_path": "Could not find models-- directory in path: {path}",
}

ENDPOINTS = {
    "chat/completions": Endpoint("/v1/chat/completions", only_llm=True),
    "completions": Endpoint("/v1/completions", only_llm=True),
    "responses": Endpoint("/v1/responses", only_llm=True),
    "messages": Endpoint("/v1/messages", only_llm=True),
    "embeddings": Endpoint("/v1/embeddings"),
    "rerank": Endpoint("/v1/rerank"),
    "reranking": Endpoint("/v1/rerank"),
    "reranker": Endpoint("/v1/rerank"),
}


# Audio and images, with the status and the words with which lemond refuses a model that cannot serve them.
MEDIA = {
    "audio/transcriptions": (400, "Audio transcription"),
    "audio/speech": (400, "Text to speech"),
    "images/generations": (500, "Image generation"),
    "images/edits": (500, "Image editing"),
    "images/variations": (500, "Image variations"),
}
FORMS = frozenset({"audio/transcriptions", "images/edits", "images/variations"})


# --- observing --------------------------------------------------------------------------------------------------


def live(engine: Engine, request: Request) -> Answer:
    """Takes no lock: it answers whatever the router is waiting for."""
    return as_json({"status": "ok"})


def health(engine: Engine, request: Request) -> Answer:
    residents = engine.router.residents()
    recent = max(residents, key=lambda resident: resident.last_use, default=None)
    pinned = dict.fromkeys(TYPES, 0)
    for resident in residents:
        pinned[resident.model.type] += resident.pinned
    return as_json(
        {
            "all_models_loaded": [resident.describe() for resident in residents],
            "engine": "hal0-embedded",
            "max_models": dict.fromkeys(TYPES, engine.config.max_loaded_models),
            "model_loaded": recent.model.name if recent else None,
            "pinned_helper_models": dict.fromkeys(TYPES, 0),
            "pinned_models": pinned,
            "status": "ok",
            "telemetry": {"enabled": False},
            "update_check_done": True,
            "version": VERSION,
        }
    )


def models(engine: Engine, request: Request) -> Answer:
    engine.router.residents()  # waits for the router's lock, as lemond's listing does
    everything = request.query.get("show_all") in (["true"], ["1"])
    listed = engine.catalogue.all(only_downloaded=not everything)
    return as_json({"object": "list", "data": [model.describe() for model in listed]})


def model(engine: Engine, request: Request) -> Answer:
    return as_json(engine.catalogue.get(_route(request.path).removeprefix("models/")).describe())


def stats(engine: Engine, request: Request) -> Answer:
    return as_json(engine.stats.describe())


def system_info(engine: Engine, request: Request) -> Answer:
    fixed = bool(engine.config["no_fetch_executables"])
    told = host.info(engine.cache_dir, no_fetch_executables=fixed)
    return as_json(flm.announced(told) if engine.simulates_flm else told)


def system_stats(engine: Engine, request: Request) -> Answer:
    return as_json(host.stats())


def metrics(engine: Engine, request: Request) -> Answer:
    lines = [
        "# TYPE lemonade_server_up gauge",
        "lemonade_server_up 1",
        "# TYPE lemonade_server_info gauge",
        f'lemonade_server_info{{version="{VERSION}"}} 1',
        "# TYPE lemonade_loaded_models gauge",
        f"lemonade_loaded_models {len(engine.router.residents())}",
    ]
    return Answer(body="".join(f"{line}\n" for line in lines).encode(), content_type="text/plain; version=0.0.4")


def logs(engine: Engine, request: Request) -> Upgrade:
    """A WebSocket; without an upgrade the address does not exist."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        raise errors.unknown_route(request.path)
    return Upgrade(lambda connection: log_stream.follow(engine.log, connection, request.path, request.headers))


# --- control ----------------------------------------------------------------------------------------------------


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


# --- inference --------------------------------------------------------------------------------------------------


def infer(engine: Engine, request: Request) -> Answer | Stream:
    body = request.json()
    if not isinstance(body, dict):
        raise errors.plain(500, "The request body must be a JSON object")
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise errors.typed(400, "Invalid request: No model specified in request", "invalid_request")
    return engine.relay.forward(ENDPOINTS[_route(request.path)], name, body)


def messages(engine: Engine, request: Request) -> Answer | Stream:
    """Anthropic's dialect: llama.cpp's own endpoint for it, with lemond's way to refuse."""
    try:
        return infer(engine, request)
    except errors.EngineError as refusal:
        raise errors.anthropic(refusal) from refusal


def media(engine: Engine, request: Request) -> Answer:
    """Audio and images: only a simulated model can; like lemond, any other is loaded first and then refused."""
    route = _route(request.path)
    name = request.form_field("model") if route in FORMS else request.json().get("model")
    if route in FORMS and not request.is_form:
        raise errors.typed(400, "Request must be multipart/form-data", "invalid_request_error")
    if not isinstance(name, str) or not name:
        raise errors.typed(400, "Missing 'model' field in request", "invalid_request_error")
    status, what = MEDIA[route]
    return engine.relay.whole(f"/v1/{route}", name, request, errors.unsupported(status, what))


def tokenize(engine: Engine, request: Request) -> Answer | Stream:
    """Goes to the most recently used model: lemond's tokenize has no model selector."""
    body = request.json()
    resident = engine.router.most_recent()
    if resident is None:
        raise errors.plain(400, "No model loaded for tokenization")
    return engine.relay.forward(Endpoint("/tokenize"), resident.model.name, body)


# --- the table --------------------------------------------------------------------------------------------------

PREFIXED: dict[tuple[str, str], View] = {
    ("GET", "health"): health,
    ("GET", "models"): models,
    ("GET", "stats"): stats,
    ("GET", "system-info"): system_info,
    ("GET", "system-stats"): system_stats,
    ("GET", "downloads"): downloads,
    ("POST", "load"): load,
    ("POST", "unload"): unload,
    ("POST", "downloads/control"): control_download,
    ("POST", "pull"): pull,
    ("POST", "delete"): delete,
    ("POST", "install"): install,
    ("POST", "tokenize"): tokenize,
    **{("POST", name): infer for name in ENDPOINTS},
    **{("POST", name): media for name in MEDIA},
    ("POST", "messages"): messages,
}
BARE: dict[tuple[str, str], View] = {
    ("GET", "/live"): live,
    ("GET", "/metrics"): metrics,
    ("GET", "/logs/stream"): logs,
    ("GET", "/internal/config"): config,
    ("GET", "/internal/config/defaults"): config_defaults,
    ("POST", "/internal/set"): set_config,
    ("POST", "/internal/pin"): pin,
}


def _route(path: str) -> str:
    """The path behind any of the four prefixes, else empty."""
    prefix = next((prefix for prefix in PREFIXES if path.startswith(prefix)), None)
    return path.removeprefix(prefix) if prefix else ""


def _find(method: str, path: str) -> View | None:
    route = _route(path)
    if not route:
        return BARE.get((method, path))
    if method == "GET" and route.startswith("models/") and route != "models/":
        return model
    return PREFIXED.get((method, route))


def _local_origin(origin: str) -> bool:
    return urlsplit(origin).hostname in LOCAL_HOSTS


def application(engine: Engine) -> Application:
    """The engine as a function of a request. Raises EngineError for every refusal."""

    def answer(request: Request) -> Reply:
        origin = request.headers.get("origin")
        if origin and not _local_origin(origin):
            raise errors.plain(403, "Origin not allowed")
        if request.method == "OPTIONS":
            return Answer(204)
        method = "GET" if request.method == "HEAD" else request.method
        view = _find(method, request.path)
        if view is not None:
            return view(engine, request)
        if method == "GET" and _find("POST", request.path):
            raise errors.plain(405, "Method Not Allowed. Use POST for this endpoint")
        raise errors.unknown_route(request.path)

    return answer
