"""Which models the engine knows: GGUF files of `extra_models_dir`, and the entries of user_models.json.

Both are read once, at the start, as lemond does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal0app.core.gguf import GgufError, GgufHeader, read_header
from hal0app.embedded import flm
from hal0app.embedded.errors import model_not_found

PREFIXES = ("extra.", "user.")
TYPE_OF_LABEL = {
    "embedding": "embedding",
    "embeddings": "embedding",
    "reranking": "reranking",
    "transcription": "transcription",
    "tts": "tts",
    "image": "image",
    "classification": "classification",
}
GIB = 1024**3


@dataclass(frozen=True)
class Model:
    """One known model. `canonical` is lemond's inner name (`extra.gemma-a`), `name` the one it publishes."""

    name: str
    canonical: str
    path: Path
    source: str
    labels: tuple[str, ...]
    max_context: int | None
    suggested: bool = True
    recipe: str = "llamacpp"  # "flm" in a simulation only

    @property
    def simulated(self) -> bool:
        return self.recipe == flm.RECIPE

    @property
    def type(self) -> str:
        """`llm` unless a label says otherwise; a GGUF's own architecture does not count."""
        return next((TYPE_OF_LABEL[label] for label in self.labels if label in TYPE_OF_LABEL), "llm")

    @property
    def downloaded(self) -> bool:
        return self.simulated or self.path.is_file()

    def describe(self) -> dict[str, Any]:
        """An entry of GET /v1/models."""
        entry: dict[str, Any] = {
            "checkpoint": str(self.path),
            "checkpoints": {"main": str(self.path)},
            "components": [],
            "created": 1234567890,
            "downloaded": self.downloaded,
            "id": self.name,
            "labels": list(self.labels),
            "object": "model",
            "owned_by": "lemonade",
            "recipe": self.recipe,
            "recipe_options": {},
            "registry_source": "huggingface",
            "source": self.source,
            "suggested": self.suggested,
            "update_available": False,
        }
        if self.max_context is not None:
            entry |= {"context_length": self.max_context, "max_context_window": self.max_context}
        size = round(self.path.stat().st_size / GIB, 3) if self.path.is_file() else 0
        return entry | ({"size": size} if size and self.source == "extra_models_dir" else {})


def _header(path: Path) -> GgufHeader | None:
    try:
        with path.open("rb") as file:
            return read_header(file)
    except (GgufError, OSError):
        return None


def _max_context(path: Path) -> int | None:
    header = _header(path)
    return header.context_length if header else None


def _extra_models(folder: Path) -> Iterator[Model]:
    for path in sorted(folder.rglob("*.gguf")):
        if "mmproj" not in path.name:
            name, labels = path.stem, ("custom", "chat")
            yield Model(name, f"extra.{name}", path, "extra_models_dir", labels, _max_context(path))


def _user_models(file: Path, simulate_flm: bool) -> Iterator[Model]:
    entries: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    for name, entry in entries.items():
        path = Path(entry.get("checkpoint", ""))
        labels = tuple(entry.get("labels", ()))
        source, suggested = entry.get("source", "local_path"), bool(entry.get("suggested", False))
        recipe = flm.RECIPE if simulate_flm and entry.get("recipe") == flm.RECIPE else "llamacpp"
        yield Model(name, f"user.{name}", path, source, labels, _max_context(path), suggested, recipe)


class Catalogue:
    """The models known since the start, by name."""

    def __init__(self, extra_models_dir: str, user_models: Path, simulate_flm: bool = False) -> None:
        found = [*_user_models(user_models, simulate_flm)]
        if extra_models_dir:
            found += _extra_models(Path(extra_models_dir))
        self._models = {model.name: model for model in sorted(found, key=lambda m: m.name)}

    def all(self, *, only_downloaded: bool) -> list[Model]:
        return [model for model in self._models.values() if model.downloaded or not only_downloaded]

    def find(self, requested: str) -> Model | None:
        """By published name, or by canonical name; a `:latest` at the end does not count."""
        name = requested.removesuffix(":latest")
        if name in self._models:
            return self._models[name]
        for prefix in PREFIXES:
            model = self._models.get(name.removeprefix(prefix))
            if model is not None and model.canonical == name:
                return model
        return None

    def get(self, requested: str) -> Model:
        """Like `find`; EngineError 404 `model_not_found` when there is none."""
        model = self.find(requested)
        if model is None:
            raise model_not_found(requested, list(self._models))
        return model
