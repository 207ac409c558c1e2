"""A simulation of FastFlowLM, for tests of what hal0 does around an NPU: no model runs, nothing is computed.

One process answers chat, embeddings and transcriptions, as the trio does. Its answers say that they are simulated.
"""

from __future__ import annotations

import hashlib
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

from hal0app.core.multipart import FieldSearch

RECIPE = "flm"
BACKEND = "npu"
FLAG = "--simulated-flm"
WORDS = "simulated by hal0's embedded engine"
DIMENSIONS = 8


def command(model: str) -> list[str]:
    """The arguments of the child that stands for this model's FastFlowLM."""
    return [FLAG, model]


def announced(info: dict[str, Any]) -> dict[str, Any]:
    """system-info with the recipe in it."""
    backend = {"action": "", "devices": ["npu"], "message": WORDS, "state": "installed"}
    recipe = {"backends": {BACKEND: backend}, "default_backend": BACKEND}
    return {**info, "recipes": {**info["recipes"], RECIPE: recipe}}


def _chat(body: bytes) -> dict[str, Any]:
    asked = json.loads(body)
    message = {"role": "assistant", "content": WORDS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": asked.get("model"), "choices": [choice]}


def _embeddings(body: bytes) -> dict[str, Any]:
    asked = json.loads(body)
    given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    rows = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text))} for index, text in enumerate(given)
    ]
    return {"object": "list", "model": asked.get("model"), "data": rows}


def _vector(text: str) -> list[float]:
    return [part / 255 for part in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]


def _transcription(body: bytes) -> dict[str, Any]:
    return {"text": f"{WORDS}: an upload of {len(body)} bytes", "model": _named(body)}


def _named(body: bytes) -> str:
    """What the field `model` of a form says; its boundary is the first line."""
    search = FieldSearch(body.partition(b"\r\n")[0][2:], "model")
    search.look(body)
    return body[slice(*search.span)].decode() if search.span else ""


def _image(body: bytes) -> dict[str, Any]:
    model = _named(body) if body.startswith(b"--") else json.loads(body).get("model")
    return {"created": 0, "data": [{"b64_json": ""}], "model": model}


def _speech(body: bytes) -> dict[str, Any]:
    return {"audio": WORDS, "model": json.loads(body).get("model")}


ANSWERS = {
    "/v1/chat/completions": _chat,
    "/v1/embeddings": _embeddings,
    "/v1/audio/transcriptions": _transcription,
    "/v1/images/generations": _image,
    "/v1/images/edits": _image,
    "/v1/images/variations": _image,
    "/v1/audio/speech": _speech,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = ANSWERS.get(self.path)
        told = answer(body) if answer else {"error": {"message": f"no {self.path}", "type": "not_found"}}
        raw = json.dumps(told).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def serve(ready: int) -> NoReturn:
    """Tell the address through `ready` and serve until a signal ends the process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    with os.fdopen(ready, "w") as pipe:
        pipe.write(f"http://127.0.0.1:{server.server_port}")
    while True:
        server.serve_forever()
