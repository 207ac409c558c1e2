"""Requests for a model, which is loaded for them where it must be."""

from __future__ import annotations

from hal0app.embedded import errors
from hal0app.embedded.engine import Engine
from hal0app.embedded.http import Answer, Request, Stream
from hal0app.embedded.paths import route
from hal0app.embedded.relay import Endpoint

ENDPOINTS = {
    "chat/completions": Endpoint("/v1/chat/completions", only_llm=True),
    "completions": Endpoint("/v1/completions", only_llm=True),
    "responses": Endpoint("/v1/responses", only_llm=True),
    "messages": Endpoint("/v1/messages", only_llm=True),
    "embeddings": Endpoint("/v1/embeddings"),
    "rerank": Endpoint("/v1/rerank"),
    "reranking": Endpoint("/v1/rerank"),
    "reranker": Endpoint("/v1/rerank"),
}


# Audio and images, with the status and the words with which lemond refuses a model that cannot serve them.
MEDIA = {
    "audio/transcriptions": (400, "Audio transcription"),
    "audio/speech": (400, "Text to speech"),
    "images/generations": (500, "Image generation"),
    "images/edits": (500, "Image editing"),
    "images/variations": (500, "Image variations"),
}
FORMS = frozenset({"audio/transcriptions", "images/edits", "images/variations"})


def infer(engine: Engine, request: Request) -> Answer | Stream:
    body = request.json()
    if not isinstance(body, dict):
        raise errors.plain(500, "The request body must be a JSON object")
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise errors.typed(400, "Invalid request: No model specified in request", "invalid_request")
    return engine.relay.forward(ENDPOINTS[route(request.path)], name, body)


def messages(engine: Engine, request: Request) -> Answer | Stream:
    """Anthropic's dialect: llama.cpp's own endpoint for it, with lemond's way to refuse."""
    try:
        return infer(engine, request)
    except errors.EngineError as refusal:
        raise errors.anthropic(refusal) from refusal


def media(engine: Engine, request: Request) -> Answer:
    """Audio and images: only a simulated model can; like lemond, any other is loaded first and then refused."""
    path = route(request.path)
    name = request.form_field("model") if path in FORMS else request.json().get("model")
    if path in FORMS and not request.is_form:
        raise errors.typed(400, "Request must be multipart/form-data", "invalid_request_error")
    if not isinstance(name, str) or not name:
        raise errors.typed(400, "Missing 'model' field in request", "invalid_request_error")
    status, what = MEDIA[path]
    return engine.relay.whole(f"/v1/{path}", name, request, errors.unsupported(status, what))


def tokenize(engine: Engine, request: Request) -> Answer | Stream:
    """Goes to the most recently used model: lemond's tokenize has no model selector."""
    body = request.json()
    resident = engine.router.most_recent()
    if resident is None:
        raise errors.plain(400, "No model loaded for tokenization")
    return engine.relay.forward(Endpoint("/tokenize"), resident.model.name, body)
