"""The chat page, a test bench: with a script it streams from `/v1`; without one a form gets the whole answer."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, request

from hal0app import errors
from hal0app.core.endpoints import BY_NAME
from hal0app.core.tap import Figures
from hal0app.core.upstream import UpstreamError
from hal0app.errors import Hal0Error
from hal0app.services.answer import Trip
from hal0app.services.ask import Ask
from hal0app.web.blueprint import bp, page
from hal0app.web.regions import chat_slots, look
from hal0app.web.site import site
from hal0app.web.vocabulary import duration

ENDPOINT = BY_NAME["chat/completions"]
AGENT = "dashboard"
HEADERS = [("Content-Type", "application/json"), ("X-hal0-Agent", AGENT)]
LONGEST = 1 << 20
ASIDE = {"system": "", "temperature": "", "max_tokens": "512"}  # what else the form has, as it is at first


@bp.get("/chat")
def chat() -> Response:
    """An empty transcript."""
    return _page(request.args.get("slot", ""))


def _page(slot: str, question: str = "", answer: str = "", facts: str = "", problem: str = "") -> Response:
    slots = chat_slots(look(site().hal0, site().recall))
    given = {key: request.form.get(key, first) for key, first in ASIDE.items()}
    return page(
        "chat", slots=slots, chosen=slot, question=question, answer=answer, facts=facts, failed=problem,
        given=given, aside=given != ASIDE,
    )  # fmt: skip


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
    """The text of the answer, and what is known of it in words. It is on record like every other request."""
    hal0, who = site().hal0, request.remote_addr or ""
    under_way = hal0.requests.begin(ENDPOINT.path, who, AGENT)
    under_way.asks_for(payload["model"], payload["model"])
    ask = Ask(
        "POST",
        ENDPOINT.path,
        HEADERS,
        json.dumps(payload).encode(),
        payload,
        client=f"at {who}",
        agent=AGENT,
        id=under_way.id,
        told=under_way.goes,
    )
    try:
        reply = hal0.dispatch.serve(ENDPOINT, ask, site().line(request.environ))
    except Hal0Error as problem:
        under_way.refused(problem.status, problem.code)
        raise
    except BaseException:
        under_way.refused(500, "system.internal")
        raise
    under_way.follow(reply)
    try:
        body = b"".join(reply)
    except UpstreamError as problem:
        raise errors.error("upstream.protocol", f"the backend stopped answering: {problem}") from problem
    finally:
        reply.close()
    text, reason = _told(reply.status, body)
    return text, _facts(reply.trip, under_way.figures, reason)


def _told(status: int, body: bytes) -> tuple[str, str]:
    """The text of an answer and why it ended. Raises `lemonade.refused`."""
    try:
        told = json.loads(body)
        if status >= 400:
            raise errors.error("lemonade.refused", str(told["error"]["message"]))
        choice = told["choices"][0]
        return choice["message"].get("content") or "", choice.get("finish_reason") or ""
    except (ValueError, KeyError, IndexError, TypeError):
        raise errors.error("lemonade.refused", "the answer could not be read") from None


def _facts(trip: Trip, figures: Figures, reason: str) -> str:
    """What is known of an answer that came at once; its first token cannot be told apart."""
    tokens = "tokens not reported" if figures.tokens_out is None else f"{figures.tokens_out} tokens"
    speed = "" if figures.tokens_per_s is None else f"{figures.tokens_per_s:.1f} tokens/s"
    load = f"waited {duration(trip.load_ms)} for its model" if trip.load_ms else ""
    known = (f"slot {trip.slot}", f"model {trip.model}", load, tokens, speed, f"ended: {reason}" if reason else "")
    return " · ".join(filter(None, known))
