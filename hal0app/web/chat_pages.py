"""The chat page, a test bench: with a script it streams from `/v1`; without one a form gets the whole answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Response, request

from hal0app import errors
from hal0app.core.endpoints import BY_NAME
from hal0app.core.upstream import UpstreamError
from hal0app.errors import Hal0Error
from hal0app.services.dispatch import Ask
from hal0app.web.blueprint import bp, page
from hal0app.web.regions import chat_slots, look
from hal0app.web.site import site

ENDPOINT = BY_NAME["chat/completions"]
HEADERS = [("Content-Type", "application/json"), ("X-hal0-Agent", "dashboard")]
LONGEST = 1 << 20


class Stays:
    """A client that is not watched: a browser's form waits for its page."""

    begun = False

    def heartbeat(self, text: str) -> None:
        """Its answer is no stream."""

    def beating(self, words: Callable[[], str], first_s: float, every_s: float) -> Callable[[], None]:
        """Says nothing either."""
        return lambda: None

    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Never calls back."""
        return lambda: None


@bp.get("/chat")
def chat() -> Response:
    """An empty transcript."""
    return _page(request.args.get("slot", ""))


def _page(slot: str, question: str = "", answer: str = "", facts: str = "", problem: str = "") -> Response:
    slots = chat_slots(look(site().hal0, site().recall))
    return page("chat", slots=slots, chosen=slot, question=question, answer=answer, facts=facts, failed=problem)


@bp.post("/chat")
def ask() -> Response:
    """One question and its whole answer, for a browser without a script."""
    slot, question = request.form.get("slot", ""), request.form.get("prompt", "").strip()[:LONGEST]
    if not question:
        return _page(slot)
    payload = {"model": slot, "stream": False, "messages": _messages(question), **_numbers()}
    try:
        answer, facts = _answer(payload)
    except Hal0Error as problem:
        return _page(slot, question, problem=problem.message)
    return _page(slot, question, answer, facts)


def _messages(question: str) -> list[dict[str, str]]:
    system = request.form.get("system", "").strip()
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": question}]


def _numbers() -> dict[str, float]:
    found: dict[str, float] = {}
    for key, kind in (("temperature", float), ("max_tokens", int)):
        try:
            found[key] = kind(request.form.get(key, ""))
        except ValueError:
            continue
    return found


def _answer(payload: dict[str, Any]) -> tuple[str, str]:
    """The text of the answer, and what is known of it in words."""
    raw = json.dumps(payload).encode()
    reply = site().hal0.dispatch.serve(ENDPOINT, Ask("POST", ENDPOINT.path, HEADERS, raw, payload), Stays())
    try:
        body = b"".join(reply)
    except UpstreamError as problem:
        raise errors.error("upstream.protocol", f"the backend stopped answering: {problem}") from problem
    finally:
        reply.close()
    try:
        told = json.loads(body)
        if reply.status >= 400:
            raise errors.error("lemonade.refused", str(told["error"]["message"]))
        choice, usage = told["choices"][0], told.get("usage") or {}
        text = choice["message"].get("content") or ""
    except (ValueError, KeyError, IndexError, TypeError):
        raise errors.error("lemonade.refused", "the answer could not be read") from None
    tokens, reason = usage.get("completion_tokens", "—"), choice.get("finish_reason")
    return text, f"slot {payload['model']} · {tokens} tokens · ended: {reason}"
