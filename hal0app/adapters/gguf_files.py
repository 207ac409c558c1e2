"""Looks into the files of models, where hal0 sees them at the path lemond names or in a Hugging Face cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hal0app.core.gguf import GgufError, GgufHeader, GgufUnsupported, read_header
from hal0app.core.model_file import ModelFile, choose, parts, repository

# Where lemond's packages keep downloads (lemonade-contract.md section 9).
CACHES = (Path("/var/cache/huggingface/hub"), Path("/var/lib/lemonade/.cache/huggingface/hub"))

Offload = Callable[[Callable[[], Any]], Any]
Stamp = tuple[str, int, int]


class GgufFiles:
    """Reads headers, each file once until it changes. A header takes up to a second, so it goes through `offload`."""

    def __init__(self, offload: Offload = lambda work: work(), caches: Sequence[Path] = CACHES) -> None:
        self._offload, self._caches = offload, caches
        self._known: dict[str, tuple[tuple[Stamp, ...], ModelFile]] = {}

    def file(self, checkpoint: str) -> ModelFile | None:
        """The file of a model by Lemonade's `checkpoint`; None when hal0 cannot see or read it."""
        found: ModelFile | None = self._offload(lambda: self._read(checkpoint))
        return found

    def _read(self, checkpoint: str) -> ModelFile | None:
        try:
            path = self._find(checkpoint)
            return None if path is None else self._examined(path)
        except OSError:
            return None

    def _find(self, checkpoint: str) -> Path | None:
        if checkpoint.startswith("/"):
            return Path(checkpoint) if checkpoint.endswith(".gguf") else None
        named = repository(checkpoint)
        folders = [cache / named[0] for cache in self._caches if (cache / named[0]).is_dir()] if named else []
        return _in_repository(folders[0], named[1]) if folders and named else None

    def _examined(self, path: Path) -> ModelFile | None:
        stamps = tuple(_stamp(path.with_name(name)) for name in parts(path.name) if path.with_name(name).exists())
        known = self._known.get(str(path))
        if known is not None and known[0] == stamps:
            return known[1]
        file = _examine(path)
        if file is not None:
            self._known[str(path)] = (stamps, file)
        return file


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return (path.name, stat.st_size, stat.st_mtime_ns)


def _in_repository(folder: Path, variant: str) -> Path | None:
    """The variant's first file in the snapshot that `refs/main` names."""
    snapshot = folder / "snapshots" / (folder / "refs" / "main").read_text().strip()
    files = [str(path.relative_to(snapshot)) for path in snapshot.rglob("*.gguf")]
    chosen = choose(variant, files)
    return None if chosen is None else snapshot / chosen


def _examine(path: Path) -> ModelFile | None:
    """Size and header; a part that is missing beside the first, or damage, is the problem."""
    with path.open("rb") as first:
        own = os.fstat(first.fileno()).st_size
        names = parts(path.name)[1:] if parts(path.name)[0] == path.name else []
        absent = [name for name in names if not path.with_name(name).exists()]
        if absent:
            return ModelFile(str(path), own, problem=f"{absent[0]} is missing beside it")
        size = own + sum(path.with_name(name).stat().st_size for name in names)
        try:
            header: GgufHeader | None = read_header(first, own)
        except GgufUnsupported:
            header = None
        except GgufError as damage:
            return ModelFile(str(path), size, problem=str(damage))
    return ModelFile(str(path), size, header)
