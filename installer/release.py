"""Build what is installed on hosts: hal0's wheel and its locked requirements, in a folder named for their content.

    python installer/release.py FOLDER      prints the release's folder, FOLDER/<version>-<digest>

The digest makes a checkout with other content another release, though its version be the same.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("hal0app", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
SHIPPED = ("requirements/host.txt", "systemd")
DIGITS = 10
EPOCH = "315532800"  # 1980, the first year a zip archive knows: the same sources give the same wheel


def main(folder: Path) -> Path:
    """The folder of this checkout's release, made unless it is there."""
    release = folder / f"{_version()}-{_digest()}"
    if not release.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _build(Path(scratch), release)
    return release


def _version() -> str:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["metadata"]["version"]


def _files() -> Iterator[Path]:
    for name in (*SOURCES, *SHIPPED):
        path = ROOT / name
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (one for one in sorted(found) if one.is_file() and "__pycache__" not in one.parts)


def _digest() -> str:
    total = hashlib.sha256()
    for file in _files():
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(ROOT)} {content}\n".encode())
    return total.hexdigest()[:DIGITS]


def _build(scratch: Path, release: Path) -> None:
    """Make the wheel from a copy, so that the checkout stays as it is."""
    draft, source = scratch / "release", scratch / "source"
    for name in SOURCES:
        _copy(ROOT / name, source / name)
    for name in SHIPPED:
        _copy(ROOT / name, draft / Path(name).name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONWARNINGS": "ignore"}
    subprocess.run([*pip, "--wheel-dir", str(draft), str(source)], check=True, env=environment)
    [wheel] = draft.glob("*.whl")
    manifest = {
        "release": release.name,
        "version": _version(),
        "wheel": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    (draft / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    draft.rename(release)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]).absolute()))
