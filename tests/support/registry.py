"""A model registry of a test's own: the part of Hugging Face's API over real HTTP that lemond downloads with.

lemond and the embedded engine ask it when `HF_ENDPOINT` names it. It can be slow, stand still, or break a download off.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PIECE = 64 * 1024
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Registry:
    """Repositories (`org/name`) with their files. `rate`: bytes a second, None: as fast as it goes, 0: it stalls.

    `cut_at`: a download is broken off once so many bytes of a file were sent. `claimed`: sizes that are told instead of
    the true ones. `asked` are the requests so far.
    """

    files: Mapping[str, Mapping[str, Path]]
    rate: float | None = None
    cut_at: int | None = None
    claimed: dict[str, int] = field(default_factory=dict)
    url: str = ""
    asked: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def ranges(self, file: str) -> list[int]:
        """The bytes from which the downloads of a file began, in order."""
        found = [re.fullmatch(r"GET (\S+) from (\d+)", one) for one in self.asked]
        return [int(one[2]) for one in found if one is not None and one[1].endswith(file)]


class _Asked(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path):
            self.registry.asked.append(f"{self.command} {self.path}")
            self._api(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._file(found[1], found[2])
        else:
            self.registry.asked.append(f"{self.command} {self.path}")
            self._json({"error": "not found"}, 404)

    do_HEAD = do_GET  # noqa: N815 - http.server

    def _api(self, repository: str) -> None:
        files = self.registry.files.get(repository)
        if files is None:
            self._json({"error": "Repository not found"}, 404)
        else:
            siblings = [_entry(name, path, self.registry.claimed.get(name)) for name, path in files.items()]
            self._json({"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": ["gguf"]})

    def _json(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _file(self, repository: str, name: str) -> None:
        path = self.registry.files.get(repository, {}).get(name)
        if path is None:
            self.registry.asked.append(f"{self.command} {self.path} unknown")
            self._json({"error": "Entry not found"}, 404)
            return
        size = path.stat().st_size
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]), size - 1) if wanted and wanted[2] else size - 1
        self.registry.asked.append(f"{self.command} {self.path} from {first}")
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{_sha256(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(size))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if self.command != "HEAD":
            self._send(path, first, last + 1)

    def _send(self, path: Path, first: int, end: int) -> None:
        with path.open("rb") as file:
            file.seek(first)
            while first < end:
                if self.registry.cut_at is not None and first >= self.registry.cut_at:
                    self.close_connection = True
                    return
                while self.registry.rate == 0 and not self.registry.closed.is_set():
                    time.sleep(0.05)
                rate = self.registry.rate
                piece = file.read(min(PIECE if rate is None else max(int(rate / 20), 1), end - first))
                try:
                    self.wfile.write(piece)
                except OSError:  # whoever downloads has stopped
                    return
                first += len(piece)
                if rate:
                    time.sleep(len(piece) / rate)

    def log_message(self, *_: object) -> None:
        """Silent."""


def _entry(name: str, path: Path, claimed: int | None) -> dict[str, object]:
    """A file as the API lists it: large ones by their SHA-256, which lemond compares, small ones by git's digest."""
    size, sha256 = claimed or path.stat().st_size, _sha256(path)
    git = hashlib.sha1(f"blob {size}\0".encode() + path.read_bytes(), usedforsecurity=False).hexdigest()
    large = {"lfs": {"sha256": sha256, "size": size, "pointerSize": 134}} if name.endswith(".gguf") else {}
    return {"rfilename": name, "size": size, "blobId": git, **large}


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key in `folder`, which is its own authority."""
    file = folder / "registry.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextmanager
def registry(files: Mapping[str, Mapping[str, Path]], secret: Path | None = None) -> Iterator[Registry]:
    """A registry with these repositories on a free port of 127.0.0.1, gone at the end with what it still sends.

    With `secret`, a certificate and its key, it speaks HTTPS, which is all that lemond does.
    """
    found = Registry(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (_Asked,), {"registry": found}))
    server.daemon_threads = True
    if secret is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(secret)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found.url = f"http{'s' if secret else ''}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.closed.set()
        server.shutdown()
        server.server_close()
