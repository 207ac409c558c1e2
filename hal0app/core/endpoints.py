"""The OpenAI endpoints that slots serve: one table, one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hal0app.core.slot_type import SlotType


@dataclass(frozen=True)
class Endpoint:
    """`path` is what follows `/v1/`; `aliases` mean the same; `required` are the fields a JSON body must have."""

    path: str
    type: SlotType
    required: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    direct: bool = True  # whether llama.cpp's own server answers it as Lemonade does
    names: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset({self.path, *self.aliases}))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("chat/completions", SlotType.LLM, ("messages",)),
    Endpoint("completions", SlotType.LLM, ("prompt",)),
    Endpoint("responses", SlotType.LLM, ("input",), direct=False),
    Endpoint("messages", SlotType.LLM, ("messages",), direct=False),
    Endpoint("embeddings", SlotType.EMBEDDING, ("input",)),
    Endpoint("rerank", SlotType.RERANKING, ("query", "documents"), aliases=("reranking", "rerankings", "reranker")),
)

BY_NAME: dict[str, Endpoint] = {name: endpoint for endpoint in ENDPOINTS for name in endpoint.names}

# What falls through to lemond for everyone (paths after /v1/, `*` for the rest of a path): reading and inference only.
OPEN: dict[str, tuple[str, ...]] = {
    "GET": ("health", "stats", "system-info", "system-stats", "models/*", "slots"),
    "POST": (
        "classify",
        "tokenize",
        "audio/transcriptions",
        "audio/translations",
        "audio/speech",
        "audio/generations",
        "images/generations",
        "images/edits",
        "images/variations",
        "images/upscale",
        "3d/generations",
    ),
}

# What changes lemond, or shows its secrets: refused until the caller has the admin right.
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


def _listed(path: str, patterns: tuple[str, ...]) -> bool:
    return any(path == one or (one.endswith("/*") and (path + "/").startswith(one[:-1])) for one in patterns)
