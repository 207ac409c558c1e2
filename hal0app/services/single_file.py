"""Questions to a daemon that may hang: one at a time, each asked once however many want to know, waits bounded.

Somebody who waits too long gives up; the question that is under way goes on, and whoever asks the same meanwhile joins
it. A daemon that hangs thus holds one connection of ours, never one a request.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from hal0app.services.bell import Bell
from hal0app.services.ports import Client


class Question:
    """One question and, once `done`, its answer or error."""

    def __init__(self, key: object, ask: Callable[[], Any]) -> None:
        self.key, self.ask = key, ask
        self.done = Bell()
        self.waiting = 0
        self.answer: Any = None
        self.error: Exception | None = None

    def result(self) -> Any:
        """The answer; raises the error."""
        if self.error is not None:
            raise self.error
        return self.answer


class SingleFile:
    """The questions, and the thread that asks them; it ends when there is none left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Question] = deque()
        self._open: dict[object, Question] = {}
        self._asking = False

    def put(self, key: object, ask: Callable[[], Any], wait_s: float, client: Client | None = None) -> Question:
        """Ask, or join who asks `key` already, and wait; the question may not be `done` after `wait_s` seconds.

        With `wait_s` 0 it is asked in any case, and nobody waits. Raises `client.gone`, or `system.stopping`, when the
        `client` for whom it is asked leaves.
        """
        with self._lock:
            question = self._open.get(key)
            if question is None:
                question = self._open[key] = Question(key, ask)
                self._queue.append(question)
                self._start()
            question.waiting += 1
        if wait_s <= 0:
            return question
        try:
            question.done.wait(wait_s, client)
        finally:
            with self._lock:
                question.waiting -= 1
        return question

    def open(self, key: object) -> bool:
        """Whether `key` is being asked."""
        with self._lock:
            return key in self._open

    def _start(self) -> None:
        if not self._asking:
            self._asking = True
            threading.Thread(target=self._work, name="hal0-questions", daemon=True).start()

    def _work(self) -> None:
        while (question := self._next()) is not None:
            try:
                question.answer = question.ask()
            except Exception as problem:  # noqa: BLE001 - handed to who waits
                question.error = problem
            with self._lock:
                del self._open[question.key]
            question.done.set()

    def _next(self) -> Question | None:
        with self._lock:
            while self._queue:
                question = self._queue.popleft()
                if question.waiting:
                    return question
                del self._open[question.key]  # nobody wants to know any more
            self._asking = False
            return None
