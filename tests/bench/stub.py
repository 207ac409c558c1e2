"""The control plane of a lemond, as far as hal0 asks for it, in front of the C upstream; only the bench uses it.

`python -m tests.bench.stub PORT UPSTREAM_PORT UPSTREAM_PID`. One llama.cpp model is resident and its `backend_url` is
the upstream's. Uploads, which hal0 passes through to lemond, are read as they come and answered with the times of
their first and last byte, as the upstream does.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL, EARS = "bench-model", "bench-ears"
PIECE = 65536
KINDS = ("llm", "embedding", "reranking", "transcription", "tts", "image", "classification")


def resident(model: str, recipe: str, type_: str, backend_url: str, pid: int) -> dict[str, Any]:
    """A row of `all_models_loaded` (lemonade-contract.md section 5)."""
    return {
        "model_name": model, "recipe": recipe, "type": type_, "slot_pool": f"standard/{type_}", "device": "cpu",
        "backend_url": backend_url, "pid": pid, "pinned": False, "is_busy": False, "status": "ready", "last_use": 1,
        "recipe_options": {"ctx_size": 4096, "llamacpp_backend": "system"},
    }  # fmt: skip


class Stub(ThreadingHTTPServer):
    """Holds what is loaded."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, upstream_port: int, upstream_pid: int) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        backends = f"http://127.0.0.1:{upstream_port}/v1"
        self.models = {
            MODEL: resident(MODEL, "llamacpp", "llm", backends, upstream_pid),
            EARS: resident(EARS, "whispercpp", "transcription", f"http://127.0.0.1:{port}/v1", upstream_pid),
        }
        self.loaded = {MODEL}

    def health(self) -> dict[str, Any]:
        return {
            "status": "ok", "version": "bench", "model_loaded": MODEL, "max_models": dict.fromkeys(KINDS, 8),
            "all_models_loaded": [self.models[name] for name in sorted(self.loaded)],
        }  # fmt: skip

    def listing(self) -> dict[str, Any]:
        labels = {MODEL: ["chat"], EARS: ["transcription"]}
        rows = [
            {"id": name, "object": "model", "recipe": one["recipe"], "downloaded": True, "labels": labels[name]}
            for name, one in self.models.items()
        ]
        return {"object": "list", "data": rows}

    def load(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.loaded |= {str(wanted.get("model_name"))} & set(self.models)
        return {"status": "success"}

    def unload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self.loaded.discard(wanted.get("model_name", ""))
        return {"status": "success"}


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = PIECE  # head and body leave in one piece
    disable_nagle_algorithm = True
    server: Stub

    def do_GET(self) -> None:
        stub = self.server
        known: dict[str, Any] = {
            "/live": {"status": "ok"},
            "/v1/health": stub.health(),
            "/v1/models": stub.listing(),
            "/v1/system-info": {"recipes": {"llamacpp": {"backends": {"system": {"state": "installed"}}}}},
            "/v1/downloads": [],
            "/v1/slots": [],
            "/internal/config": {},
            **{f"/v1/models/{row['id']}": row for row in stub.listing()["data"]},
        }
        path = self.path.partition("?")[0]
        self._answer(known.get(path, {"error": "not found"}), 200 if path in known else 404)

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/v1/audio/"):
            self._answer(self._swallow())
            return
        wanted = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        acts = {"/v1/load": self.server.load, "/v1/unload": self.server.unload}
        self._answer(acts.get(path, lambda _: {"status": "success"})(wanted))

    def _swallow(self) -> dict[str, Any]:
        """Read an upload piece by piece; only its times and length are kept."""
        left = length = int(self.headers.get("Content-Length") or 0)
        first = last = 0
        while left and (piece := self.rfile.read1(min(PIECE, left))):
            last = time.monotonic_ns()
            first = first or last
            left -= len(piece)
        return {"text": "", "bytes": length - left, "first_ns": first, "last_ns": last}

    def _answer(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """The bench reads no log of it."""


if __name__ == "__main__":
    Stub(*map(int, sys.argv[1:4])).serve_forever()
