"""Scripts, styles and icons: read once at the start, each under an address that carries the hash of its content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

# What is served -> the files it is made of, in order. htmx scans the page as soon as it has run, so the extension and
# our own listeners come in the same script; what one page alone needs is one more, which only that page fetches.
BUNDLES: dict[str, tuple[str, ...]] = {
    "ui.js": ("vendor/htmx.min.js", "vendor/hx-sse.min.js", "app.js"),
    "slots.js": ("dialog.js", "slots.js"),
    "models.js": ("dialog.js", "models.js"),
    "chat.js": ("chat.js",),
    "answer.js": ("answer.js",),  # by chat.js, when somebody begins to write
    "journal.js": ("journal.js",),
    "settings.js": ("dialog.js", "settings.js"),
    "ui.css": ("ui.css",),
    "icon.svg": ("icon.svg",),
    "icon-alert.svg": ("icon-alert.svg",),
}


@dataclass(frozen=True)
class Asset:
    """One file as it is served; `packed` is its gzip."""

    name: str  # with the hash in it
    body: bytes
    packed: bytes
    mimetype: str

    @property
    def url(self) -> str:
        return f"/static/{self.name}"


@dataclass(frozen=True)
class Assets:
    """All of them, by plain name."""

    by_name: Mapping[str, Asset]

    def served(self, name: str) -> Asset | None:
        """The asset under its hashed name."""
        return next((asset for asset in self.by_name.values() if asset.name == name), None)

    @property
    def urls(self) -> dict[str, str]:
        return {name: asset.url for name, asset in self.by_name.items()}


def load() -> Assets:
    """Read and pack everything."""
    return Assets({name: _asset(name, files) for name, files in BUNDLES.items()})


def _sent(file: str) -> bytes:
    """A file as it goes out: our scripts without the lines that only people read, and without their indentation."""
    body = (FOLDER / file).read_bytes()
    if not file.endswith(".js") or "/" in file:
        return body
    lines = (line.strip() for line in body.splitlines())
    return b"\n".join(line for line in lines if line and not line.startswith((b"//", b"/*")))


def _asset(name: str, files: tuple[str, ...]) -> Asset:
    body = b"\n".join(_sent(file) for file in files)
    stem, suffix = Path(name).stem, Path(name).suffix
    hashed = f"{stem}.{hashlib.sha256(body).hexdigest()[:8]}{suffix}"
    return Asset(hashed, body, gzip.compress(body, 9, mtime=0), TYPES[suffix])
