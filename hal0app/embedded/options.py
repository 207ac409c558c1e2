"""With which options a model is loaded: the request's, else the configuration's; and the command that follows.

Seen on lemond 2026.39.1-2: `llamacpp_args` of a load are merged flag by flag over those of the configuration and
come out sorted; `merge_args: false` takes the request's alone; nothing is remembered for the next load but the pin.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from hal0app.embedded import flm
from hal0app.embedded.catalogue import Model
from hal0app.embedded.config import BACKENDS
from hal0app.embedded.errors import StartError

DEFAULT_CONTEXT = {"embedding": 8192}
FALLBACK_CONTEXT = 4096
TYPE_FLAGS = {"embedding": ["--embeddings"], "reranking": ["--reranking"]}
RESERVED = (
    "--ctx-size --device --embedding --embeddings --jinja --metrics --mmproj --mmproj-auto --mmproj-url --model "
    "--model-draft --no-jinja --no-mmproj --no-mmproj-auto --port --rerank --reranking --spec-draft-model "
    "-c -dev -m -md -mm -mmu"
)  # fmt: skip


def _flags(args: str) -> dict[str, list[str]]:
    """`"--a 1 -b --c 2"` as {flag: values}, in order."""
    flags: dict[str, list[str]] = {}
    values: list[str] = []
    for word in shlex.split(args):
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            values = flags[word] = []
        else:
            values.append(word)
    return flags


def merge_args(configured: str, requested: str) -> str:
    """The request's flags over the configured ones, sorted; only one of them given = that one unchanged."""
    if not configured or not requested:
        return requested or configured
    merged = _flags(configured) | _flags(requested)
    return shlex.join(word for flag in sorted(merged) for word in (flag, *merged[flag]))


def _refuse_reserved(args: str) -> None:
    for flag in _flags(args):
        if flag.partition("=")[0] in RESERVED.split():
            raise StartError(
                f"Invalid custom llama-server arguments:\nArgument '{flag}' is managed by Lemonade and cannot be "
                f"overridden.\nReserved arguments: {', '.join(RESERVED.split())}"
            )


@dataclass(frozen=True)
class Options:
    """What a model is loaded with; equal options make a repeated load a no-op. The pin is not part of it."""

    ctx_size: int
    args: str
    backend: str
    merged: bool = True

    def describe(self) -> dict[str, Any]:
        """The `recipe_options` of health."""
        if self.backend == flm.BACKEND:
            return {"ctx_size": self.ctx_size, "flm_args": ""}
        shown = {"ctx_size": self.ctx_size, "llamacpp_args": self.args, "llamacpp_backend": self.backend}
        return shown if self.merged else shown | {"merge_args": False}

    def command(self, model: Model) -> list[str]:
        """llama-server's arguments. StartError for an unusable backend or a reserved flag."""
        if model.simulated:
            return flm.command(model.name)
        if self.backend not in BACKENDS:
            raise StartError(f"'llamacpp.backend' must be one of: {', '.join(BACKENDS)}")
        _refuse_reserved(self.args)
        own = ["-m", str(model.path), "--ctx-size", str(self.ctx_size), "--port", "0", "--jinja", "--metrics"]
        return [*own, *TYPE_FLAGS.get(model.type, ()), *shlex.split(self.args)]


def resolve(model: Model, configured: dict[str, Any], request: dict[str, Any]) -> Options:
    """The options of one load: request > configuration > defaults. A null counts as absent."""
    given = {key: value for key, value in request.items() if value is not None}
    section = configured["llamacpp"]
    ctx_size = int(given.get("ctx_size", configured["ctx_size"]))
    if ctx_size <= 0:
        ctx_size = DEFAULT_CONTEXT.get(model.type, FALLBACK_CONTEXT)
    if model.simulated:
        return Options(ctx_size, "", flm.BACKEND)
    merged = bool(given.get("merge_args", True))
    requested = str(given.get("llamacpp_args", ""))
    backend = str(given.get("llamacpp_backend", section["backend"]))
    return Options(
        ctx_size=ctx_size,
        args=merge_args(section["args"], requested) if merged else requested,
        backend="system" if backend == "auto" else backend,
        merged=merged,
    )
