"""One hal0 over one embedded engine with faults, and what this test knows of both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from hal0app.errors import CODES
from tests.support import models, truth
from tests.support.app import App, hal0
from tests.support.engines import Engine, embedded_engine
from tests.support.waiting import eventually

WAIT_S = 20
SIGN_OF_LIFE = ": hal0"
ANSWERED_WITHIN_S = 60.0
CHAT_MODELS = ("chat-a", "chat-b", "chat-c", "chat-d")
SLOTS: dict[str, dict[str, Any]] = {
    "first": {"type": "llm", "model": "chat-a", "on_evict": "restore", "priority": 90},
    "second": {"type": "llm", "model": "chat-b", "priority": 70},
    "third": {"type": "llm", "model": "chat-c"},
    "embed": {"type": "embedding", "model": "embed-a", "on_evict": "restore", "priority": 80},
    "rerank": {"type": "reranking", "model": "rerank-a"},
}
WHILE_DOWN = {"lemonade.unavailable", "model.gone", "upstream.protocol", "slot.loading"}
REFUSED = {"slot.error", "model.load_failed", "model.quarantined"}


def refusal(answer: requests.Response) -> str | None:
    """The code of the error that the answer is, or that a stream ended with which began with signs of life."""
    if answer.status_code != 200:
        return str(answer.json()["error"]["code"])
    last = answer.text.rstrip().rpartition("data: ")[2]
    if answer.text.startswith(SIGN_OF_LIFE) and last.startswith('{"error"'):
        return str(json.loads(last)["error"]["code"])
    return None


@dataclass
class World:
    """`wanted` is each slot's definition as last written; `blamed` the models whose failure hal0 may hold against."""

    app: App
    engine: Engine
    wanted: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: dict(one) for name, one in SLOTS.items()})
    blamed: set[str] = field(default_factory=set)
    told: int = 0

    # -- requests

    def ask(self, slot: str) -> requests.Response:
        """One request that fits the slot; half a screen of words for a chat, streamed."""
        kind = self.wanted[slot]["type"]
        if kind == "embedding":
            return self.app.post("/v1/embeddings", {"model": slot, "input": "a cat"})
        if kind == "reranking":
            return self.app.post("/v1/rerank", {"model": slot, "query": "a cat", "documents": ["a car", "cats"]})
        return self.app.chat(slot, max_tokens=12, stream=True)

    def served(self, *slots: str) -> None:
        """Ask all at once; each answer is good, or is the refusal that its definition calls for."""
        begun = time.monotonic()
        with ThreadPoolExecutor(len(slots)) as pool:
            answers = list(pool.map(self.ask, slots))
        assert time.monotonic() - begun < ANSWERED_WITHIN_S
        for slot, answer in zip(slots, answers, strict=True):
            self.fitting(slot, answer)

    def fitting(self, slot: str, answer: requests.Response) -> None:
        code = refusal(answer)
        if code is not None:
            assert code in CODES, answer.text
            assert code in self.refusals(slot), (slot, answer.text)
            return
        waited = answer.text.startswith(SIGN_OF_LIFE)  # it went out before it was known where the request goes
        assert waited or answer.headers["X-Hal0-Slot"] == slot
        if "event-stream" in answer.headers["Content-Type"]:
            assert answer.text.rstrip().endswith("data: [DONE]"), answer.text[-500:]

    def battered(self, slot: str, answer: requests.Response) -> None:
        """The answer of a time in which lemond died: a good one, or one that says what broke and can be tried again."""
        if answer.status_code == 200:
            assert answer.text.rstrip().endswith("data: [DONE]") or '"error"' in answer.text or answer.json(), (
                answer.text
            )
        elif answer.json()["error"]["code"] not in WHILE_DOWN:
            self.fitting(slot, answer)

    def refusals(self, slot: str) -> set[str]:
        """The error codes that the slot's definition and history allow."""
        one = self.wanted[slot]
        if not one.get("enabled", True):
            return {"slot.disabled"}
        allowed = set(REFUSED) if one["model"] in self.blamed else set()
        return allowed | ({"pool.all_pinned"} if self.crowded(slot) else set())

    def crowded(self, slot: str) -> bool:
        """Whether pins of other models may fill the pool of the slot."""
        one = self.wanted[slot]
        return len(self.pinned() - {one["model"]}) >= 2

    def pinned(self) -> set[str]:
        """The models that slots want pinned."""
        return {one["model"] for one in self.wanted.values() if one.get("pinned") and one.get("enabled", True)}

    # -- definitions

    def edit(self, slot: str, changes: Mapping[str, Any]) -> None:
        answer = requests.patch(f"{self.app.url}/api/slots/{slot}", json=dict(changes), timeout=60)
        if answer.status_code == 409:
            assert answer.json()["error"]["code"] == "slot.model_conflict", answer.text
            return
        assert answer.status_code == 200, answer.text
        self.wanted[slot].update(changes)

    # -- lemond

    def restart(self) -> None:
        """kill -9 of lemond and a new one."""
        self.engine.crash()
        self.engine.start()

    def wipe(self, trigger: str) -> None:
        """A load behind hal0's back fails; what it took from enabled slots comes back, and the journal says so.

        The load first makes room for itself: one chat model may have left before the wipe, as any other eviction.
        """
        truth.quiet(self.app, self.engine)
        eventually(self._log_is_followed, "hal0 follows lemond's log", within=30)
        before = set(self.engine.residents()) - {trigger}
        victims = {name for name, one in self.wanted.items() if one.get("enabled", True) and one["model"] in before}
        last = max((one["id"] for one in self.app.journal(limit=1)), default=0)
        wiped = self.engine.chaos("wipe", trigger)["status"] == 500
        self.blamed |= {trigger} if wiped else set()
        if victims and wiped:
            eventually(lambda: self._told_of(victims, last), f"{victims} are back or given up", within=90)

    def _log_is_followed(self) -> bool:
        """As its page says."""
        return "log is not followed now" not in self.app.get("/journal/lemonade").text

    def _told_of(self, victims: set[str], last: int) -> bool:
        entries = self.app.journal(since=last, kind="evict.nuclear", limit=500)
        named = {slot for one in entries for slot in [*one["data"]["restored"], *one["data"]["failed"]]}
        untold = {self.wanted[slot]["model"] for slot in victims - named}
        return not untold or (len(untold) == 1 and untold <= set(CHAT_MODELS))

    def fail_load(self, slot: str) -> None:
        """Ask for the slot's model while lemond cannot load it; then clear the failure, as a person does."""
        model = self.wanted[slot]["model"]
        truth.quiet(self.app, self.engine)
        with self.engine.fault("refuse", model=model, error="out of memory"):
            if model in self.engine.residents():
                self.engine.chaos("evict", model)
            self.blamed.add(model)
            answer = self.ask(slot)
            assert answer.status_code != 200, answer.text
            self.fitting(slot, answer)
        truth.quiet(self.app, self.engine)
        if self.wanted[slot].get("enabled", True):
            assert self.app.post(f"/api/slots/{slot}/clear").status_code == 200
            self.blamed.discard(model)

    def loaded_by_somebody(self, model: str, **options: Any) -> None:
        answer = requests.post(f"{self.engine.url}/v1/load", json={"model_name": model, **options}, timeout=60)
        assert answer.status_code in {200, 409}, answer.text

    # -- what must hold

    def steady(self) -> None:
        """Holds at any moment."""
        entries = self.app.journal(since=self.told, limit=1000)
        truth.only_movable_left(entries, self._pinned_before & self.pinned())
        self._pinned_before = self.pinned()
        self.told = entries[-1]["id"] if entries else self.told
        for slot in self.app.get("/api/slots").json():
            truth.explained(slot)
            assert slot["state"] != "error" or slot["model"] in self.blamed, slot

    _pinned_before: set[str] = field(default_factory=set)

    def settled(self) -> None:
        """Holds once nothing happens any more."""
        self.engine.release()
        truth.quiet(self.app, self.engine)
        truth.second_drift_is_clean(self.app)
        truth.quiet(self.app, self.engine)


@contextmanager
def world() -> Iterator[World]:
    """A new one, gone at the end."""
    with ExitStack() as stack:
        chat = {name: models.chat() for name in CHAT_MODELS}
        engine = stack.enter_context(embedded_engine(max_loaded_models=2, models=chat, chaos=True))
        slots = {name: {**one, "wait_s": WAIT_S} for name, one in SLOTS.items()}
        yield World(stack.enter_context(hal0(engine.url, slots)), engine)
