"""Shows GGUF files to the embedded engine: chat models as links in its folder, other types in user_models.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hal0app.adapters.files import write_atomically
from hal0app.core.gguf import GgufError, GgufHeader, read_header
from hal0app.trial.home import Home
from hal0app.trial.trouble import CannotRun

CHAT, EMBEDDINGS, RERANKING, PROJECTOR = "chat", "embeddings", "reranking", "projector"

# llama.cpp's enum llama_pooling_type, as GGUF headers carry it.
LABEL_OF_POOLING = {1: EMBEDDINGS, 2: EMBEDDINGS, 3: EMBEDDINGS, 4: RERANKING}
LABEL_OF_ARCHITECTURE = {
    "bert": EMBEDDINGS,
    "nomic-bert": EMBEDDINGS,
    "nomic-bert-moe": EMBEDDINGS,
    "jina-bert-v2": EMBEDDINGS,
    "jina-bert-v3": EMBEDDINGS,
    "modern-bert": EMBEDDINGS,
    "neo-bert": EMBEDDINGS,
    "eurobert": EMBEDDINGS,
    "gemma-embedding": EMBEDDINGS,
    "t5encoder": EMBEDDINGS,
    "clip": PROJECTOR,
}


def label(header: GgufHeader) -> str:
    """What a model of this header serves."""
    by_pooling = LABEL_OF_POOLING.get(header.pooling_type or 0)
    return by_pooling or LABEL_OF_ARCHITECTURE.get(header.architecture, CHAT)


def offered(folder: Path, say: Callable[[str], None]) -> dict[Path, str]:
    """Every readable GGUF below `folder` with its label. CannotRun when there is no such folder or no such file."""
    if not folder.is_dir():
        raise CannotRun(f"MODELS={folder}: there is no such folder. Name one that holds .gguf files")
    found = {}
    for file in sorted(folder.resolve().rglob("*.gguf")):
        try:
            found[file] = _label_of(file)
        except (GgufError, OSError) as problem:
            say(f"Skipping {file}: {problem}")
    if not found:
        raise CannotRun(f"MODELS={folder}: no usable .gguf file in this folder")
    return found


def _label_of(file: Path) -> str:
    with file.open("rb") as source:
        return label(read_header(source, file.stat().st_size))


def stock(home: Home, models: dict[Path, str]) -> None:
    """Make `models` (file: label) known to the embedded engine, beside those that earlier runs made known."""
    _forget_broken(home.models)
    _link(home.models, (file for file, kind in models.items() if kind == CHAT))
    typed = {file.stem: _entry(file, kind) for file, kind in models.items() if kind in (EMBEDDINGS, RERANKING)}
    _list(home.engine_config / "user_models.json", typed)


def _forget_broken(folder: Path) -> None:
    for link in folder.glob("*.gguf"):
        if link.is_symlink() and not link.exists():
            link.unlink()


def _link(folder: Path, files: Iterable[Path]) -> None:
    for file in files:
        link = folder / file.name
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(file)


def _entry(file: Path, kind: str) -> dict[str, Any]:
    return {
        "checkpoint": str(file),
        "source": "local_path",
        "recipe": "llamacpp",
        "labels": [kind],
        "suggested": True,
    }


def _list(registry: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Add `entries` to lemond's user_models.json, keeping the others."""
    known = json.loads(registry.read_text()) if registry.exists() else {}
    if entries and known | entries != known:
        write_atomically(registry, json.dumps(known | entries, indent=2))
