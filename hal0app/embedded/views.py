"""lemond's endpoints as one table: method and path to a view."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from hal0app.embedded import control, errors, inference, readings
from hal0app.embedded.engine import Engine
from hal0app.embedded.http import Answer, Application, Reply, Request
from hal0app.embedded.paths import route

View = Callable[[Engine, Request], Reply]

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

PREFIXED: dict[tuple[str, str], View] = {
    ("GET", "health"): readings.health,
    ("GET", "models"): readings.models,
    ("GET", "stats"): readings.stats,
    ("GET", "system-info"): readings.system_info,
    ("GET", "system-stats"): readings.system_stats,
    ("GET", "downloads"): control.downloads,
    ("POST", "load"): control.load,
    ("POST", "unload"): control.unload,
    ("POST", "downloads/control"): control.control_download,
    ("POST", "pull"): control.pull,
    ("POST", "delete"): control.delete,
    ("POST", "install"): control.install,
    ("POST", "tokenize"): inference.tokenize,
    **{("POST", name): inference.infer for name in inference.ENDPOINTS},
    **{("POST", name): inference.media for name in inference.MEDIA},
    ("POST", "messages"): inference.messages,
}
BARE: dict[tuple[str, str], View] = {
    ("GET", "/live"): readings.live,
    ("GET", "/metrics"): readings.metrics,
    ("GET", "/logs/stream"): readings.logs,
    ("GET", "/internal/config"): control.config,
    ("GET", "/internal/config/defaults"): control.config_defaults,
    ("POST", "/internal/set"): control.set_config,
    ("POST", "/internal/pin"): control.pin,
}


def _find(method: str, path: str) -> View | None:
    name = route(path)
    if not name:
        return BARE.get((method, path))
    if method == "GET" and name.startswith("models/") and name != "models/":
        return readings.model
    return PREFIXED.get((method, name))


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
