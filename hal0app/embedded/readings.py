"""What lemond tells of itself: liveness, health, models, figures, its log. Nothing here changes anything."""

from __future__ import annotations

from hal0app.embedded import errors, flm, host, log_stream
from hal0app.embedded.engine import VERSION, Engine
from hal0app.embedded.http import Answer, Request, Upgrade, as_json
from hal0app.embedded.paths import route

TYPES = ("classification", "embedding", "image", "llm", "reranking", "transcription", "tts")


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
    return as_json(engine.catalogue.get(route(request.path).removeprefix("models/")).describe())


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
