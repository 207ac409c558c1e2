"""The inference endpoints of `/v1`: one table, one row each; and who may use lemond's other paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hal0app.core.dialect import Dialect
from hal0app.core.slot_type import ModelType, OtherType, SlotType


@dataclass(frozen=True)
class Endpoint:
    """`path` is what follows `/v1/`; `aliases` mean the same; `required` are the fields a JSON body must have.

    `form`: the body is an upload, multipart/form-data, and `required` its file.
    `direct`: llama.cpp's own server answers it as Lemonade does.
    """

    path: str
    type: ModelType
    required: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    form: bool = False
    direct: bool = False
    dialect: Dialect = Dialect.OPENAI
    names: frozenset[str] = field(init=False, default=frozenset())

    @property
    def streams(self) -> bool:
        """Whether it can answer with a stream of events."""
        return self.type is SlotType.LLM

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset({self.path, *self.aliases}))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("chat/completions", SlotType.LLM, ("messages",), direct=True),
    Endpoint("completions", SlotType.LLM, ("prompt",), direct=True),
    Endpoint("responses", SlotType.LLM, ("input",)),
    Endpoint("messages", SlotType.LLM, ("messages",), dialect=Dialect.ANTHROPIC),
    Endpoint("embeddings", SlotType.EMBEDDING, ("input",), direct=True),
    Endpoint(
        "rerank",
        SlotType.RERANKING,
        ("query", "documents"),
        aliases=("reranking", "rerankings", "reranker"),
        direct=True,
    ),
    Endpoint("audio/transcriptions", SlotType.TRANSCRIPTION, ("file",), form=True),
    Endpoint("audio/translations", SlotType.TRANSCRIPTION, ("file",), form=True),
    Endpoint("audio/speech", SlotType.TTS, ("input",)),
    Endpoint("images/generations", SlotType.IMAGE, ("prompt",)),
    Endpoint("images/edits", SlotType.IMAGE, ("image",), form=True),
    Endpoint("images/variations", SlotType.IMAGE, ("image",), form=True),
    Endpoint("images/upscale", SlotType.IMAGE),
    Endpoint("audio/generations", OtherType.AUDIO_GENERATION),
    Endpoint("classify", OtherType.CLASSIFICATION),
    Endpoint("3d/generations", OtherType.MESH),
)

BY_NAME: dict[str, Endpoint] = {name: endpoint for endpoint in ENDPOINTS for name in endpoint.names}

PREFIXES = ("/v1/", "/api/v1/")

# What else of lemond everyone may use (paths after /v1/, `*` for the rest of a path). Its tokenize names no model.
OPEN: dict[str, tuple[str, ...]] = {
    "GET": ("health", "stats", "system-info", "system-stats", "models/*", "slots"),
    "POST": ("tokenize",),
}

# What changes lemond, or shows its secrets: refused to those who do not show the admin key.
CONTROL = (
    "load",
    "unload",
    "pull/*",
    "delete",
    "install/*",
    "uninstall",
    "params",
    "log-level",
    "jobs/*",
    "cloud/*",
    "downloads/*",
    "models/*",
    "routing/*",
    "registry/*",
    "slots/*",
)


# What hal0 has in place of some of them, by the beginning of their path.
INSTEAD: dict[str, str] = {
    "load": "POST /api/slots/{name}/load",
    "unload": "POST /api/slots/{name}/unload",
    "pull": "POST /api/models/pull",
    "delete": "DELETE /api/models/{id}",
    "downloads": "GET /api/downloads",
    "install": "POST /api/backends/{recipe}:{backend}/install",
}


def instead(path: str) -> str:
    """What to ask hal0 for in place of one of lemond's control paths (after /v1/)."""
    return INSTEAD.get(path.partition("/")[0], "hal0's own API below /api, or Lemonade's port on its own machine")


class Access(StrEnum):
    """Who may use one of lemond's own paths."""

    EVERYONE = "everyone"
    ADMIN = "admin"
    NOBODY = "nobody"  # hal0 does not know the path


def access(path: str, method: str) -> Access:
    """Who may send `method` to `path` (after /v1/, decoded) of lemond."""
    if {".", ".."} & set(path.split("/")) or not path.isprintable():
        return Access.NOBODY
    if _listed(path, OPEN.get("GET" if method == "HEAD" else method, ())):
        return Access.EVERYONE
    return Access.ADMIN if _listed(path, CONTROL) else Access.NOBODY


def methods(path: str) -> tuple[str, ...]:
    """The methods that `path` (after /v1/) takes from everyone; none when it is nothing that hal0 offers."""
    taken = [method for method in ("GET", "HEAD") if access(path, method) is Access.EVERYONE]
    if path in BY_NAME or access(path, "POST") is Access.EVERYONE:
        taken.append("POST")
    return (*taken, "OPTIONS") if taken else ()


def dialect(path: str) -> Dialect:
    """The dialect in which an error is told on a path, with its prefix."""
    endpoint = BY_NAME.get((within(path) or "").removesuffix("/count_tokens"))
    return endpoint.dialect if endpoint else Dialect.OPENAI


def within(path: str) -> str | None:
    """What follows `/v1/` or `/api/v1/`; None for a path of neither."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            return path[len(prefix) :]
    return None


def _listed(path: str, patterns: tuple[str, ...]) -> bool:
    return any(path == one or (one.endswith("/*") and (path + "/").startswith(one[:-1])) for one in patterns)
