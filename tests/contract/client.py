"""How the contract tests talk to a Lemonade: plain requests, and streams that stay open."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import requests

from tests.support.engines import Engine

LONG = 600.0  # seconds: a busy machine is slow, and speed is not what these tests are about
ENDLESS = 60_000
MESSAGES = [{"role": "user", "content": "hello world"}]


def get(engine: Engine, path: str, **more: Any) -> requests.Response:
    return requests.get(engine.url + path, **{"timeout": LONG, **more})


def post(engine: Engine, path: str, body: Any = None, **more: Any) -> requests.Response:
    return requests.post(engine.url + path, json=body, **{"timeout": LONG, **more})


def chat(engine: Engine, model: str, **more: Any) -> requests.Response:
    return post(engine, "/v1/chat/completions", {"model": model, "messages": MESSAGES, "max_tokens": 3, **more})


def load(engine: Engine, model: str, **options: Any) -> requests.Response:
    return post(engine, "/v1/load", {"model_name": model, **options})


def loaded(engine: Engine, *models: str, **options: Any) -> None:
    """Load each, one after the other; each must succeed."""
    for model in models:
        response = load(engine, model, **options)
        assert response.status_code == 200, response.text


def names(engine: Engine) -> set[str]:
    """What health lists as loaded."""
    return set(engine.residents())


def events(text: str) -> list[str]:
    """The `data:` payloads of a stream, comments left out."""
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def chunks(text: str) -> list[dict[str, Any]]:
    """The JSON payloads of a stream."""
    return [json.loads(event) for event in events(text) if event != "[DONE]"]


class OpenStream:
    """A chat stream that has begun. It must be kept: urllib3 closes a connection whose iterator is dropped."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._parts = response.iter_content(None)
        self.text: str = next(self._parts).decode()

    def next(self) -> bytes:
        """What comes next; empty at the end."""
        part: bytes = next(self._parts, b"")
        return part

    def rest(self) -> str:
        """Everything from the beginning to the end of the stream."""
        self.text += b"".join(self._parts).decode()
        return self.text

    def close(self) -> None:
        self._response.close()


@contextmanager
def streaming(engine: Engine, model: str) -> Iterator[OpenStream]:
    """A chat stream that is closed at the end of the block; its first bytes have come.

    It goes on for many seconds when the model was loaded with a large context.
    """
    body = {"model": model, "messages": MESSAGES, "max_tokens": ENDLESS, "stream": True}
    with post(engine, "/v1/chat/completions", body, stream=True) as response:
        assert response.status_code == 200, response.text
        stream = OpenStream(response)
        yield stream


@contextmanager
def background(call: Any, *args: Any, **kwargs: Any) -> Iterator[Future[Any]]:
    """A call in a thread of its own; the block's end waits for it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(call, *args, **kwargs)


def answers(engine: Engine, path: str, within: float) -> bool:
    """Whether a GET is answered in time."""
    with contextlib.suppress(requests.Timeout):
        return get(engine, path, timeout=within).ok
    return False
