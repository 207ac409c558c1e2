"""What a house full of programs asks: streams, answers, vectors, uploads, nonsense; some leave, models change."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.soak.aborts import Leaver
from tests.soak.aborts import Seen as Left
from tests.soak.seen import GIVE_UP_S, Seen
from tests.support.app import App
from tests.support.engines import Engine

MODELS = ("chat-a", "chat-b", "chat-c")  # over two places
SLOTS = {
    **{f"slot-{model[-1]}": {"type": "llm", "model": model, "wait_s": 300} for model in MODELS},
    "embed": {"type": "embedding", "model": "embed-a", "max_in_flight": 2, "wait_s": 300},
    "hear": {"type": "transcription", "model": "whisper", "wait_s": 300},
}
WARM, SELDOM = ("slot-a", "slot-b"), "slot-c"
CHANGES = 0.01  # of the chats: another model has to come
CLIENTS = 10
PAGES = 3
UPLOAD_BYTES = 2_000_000
HEALTH_EVERY_S = 0.5
WRONG = (
    ("/v1/chat/completions", b"{", 400),
    ("/v1/chat/completions", b'{"model": "slot-a"}', 400),
    ("/v1/chat/completions", b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}', 404),
    ("/v1/embeddings", b'{"model": "slot-a", "input": "x"}', 400),
    ("/v1/load", b"{}", 403),
    ("/api/slots/nobody/load", b"", 404),
)


class Household:
    """The clients of one hal0, until their time is up."""

    def __init__(self, app: App, engine: Engine, seconds: float, uploads: bool) -> None:
        self._app, self._engine, self.seen, self._left = app, engine, Seen(), Left()
        self._until = time.monotonic() + seconds
        acts: dict[Callable[[random.Random], str], int] = {
            self._streams: 4,
            self._chats: 2,
            self._embeds: 3,
            self._leaves: 4,
            self._errs: 3,
            self._reads: 2,
            **({self._uploads: 1} if uploads else {}),
        }
        self._acts, self._weights = list(acts), list(acts.values())

    @property
    def on(self) -> bool:
        return time.monotonic() < self._until

    def client(self, number: int) -> None:
        """One act after the other; what went wrong is a failure."""
        chance = random.Random(number)
        while self.on:
            (act,) = chance.choices(self._acts, self._weights)
            begun = time.monotonic()
            try:
                wrong = act(chance)
            except OSError as problem:  # what requests raises is one, too
                wrong = repr(problem)
            self.seen.note(act.__name__, wrong, time.monotonic() - begun)

    def _slot(self, chance: random.Random) -> str:
        return SELDOM if chance.random() < CHANGES else chance.choice(WARM)

    def _streams(self, chance: random.Random) -> str:
        answer = self._app.chat(self._slot(chance), max_tokens=chance.randint(1, 60), stream=True)
        whole = answer.text.rstrip().endswith("data: [DONE]") and '"error"' not in answer.text
        return "" if answer.status_code == 200 and whole else f"{answer.status_code} {answer.text[-300:]}"

    def _chats(self, chance: random.Random) -> str:
        answer = self._app.chat(self._slot(chance), "hello " * chance.randint(1, 200), chance.randint(1, 24))
        return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[-300:]}"

    def _embeds(self, chance: random.Random) -> str:
        answer = self._app.post("/v1/embeddings", {"model": "embed", "input": ["a cat"] * chance.randint(1, 20)})
        return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[-300:]}"

    def _uploads(self, chance: random.Random) -> str:
        files = {"file": ("a.wav", bytes(chance.randint(1, UPLOAD_BYTES)), "audio/wav")}
        url = f"{self._app.url}/v1/audio/transcriptions"
        answer = requests.post(url, data={"model": "hear"}, files=files, timeout=GIVE_UP_S)
        return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[-300:]}"

    def _leaves(self, chance: random.Random) -> str:
        Leaver(self._app, [*WARM, "embed"], chance.getrandbits(32), self._left).one()
        return self._left.failures.pop() if self._left.failures else ""

    def _errs(self, chance: random.Random) -> str:
        path, body, status = chance.choice(WRONG)
        answer = requests.post(self._app.url + path, data=body, timeout=GIVE_UP_S)
        return "" if answer.status_code == status else f"{path}: {answer.status_code} instead of {status}"

    def _reads(self, chance: random.Random) -> str:
        path = chance.choice(("/", "/slots", "/v1/models", "/api/slots", "/api/stats", "/api/requests", "/api/journal"))
        answer = self._app.get(path)
        return "" if answer.status_code == 200 else f"{path}: {answer.status_code}"

    def page(self, number: int) -> None:
        """Keep a page open, now and then anew."""
        pause = threading.Event()
        while self.on:
            until = time.monotonic() + 10 + number
            with requests.get(f"{self._app.url}/events?view=slots", stream=True, timeout=GIVE_UP_S) as stream:
                for _ in stream.iter_content(None):
                    if not self.on or time.monotonic() > until:
                        break
            pause.wait(0.1)

    def read_health(self) -> None:
        """Read lemond's health as an outsider does, and note the longest wait."""
        self.seen.read_health(self._engine, HEALTH_EVERY_S, lambda: self.on)


def run(
    app: App, engine: Engine, seconds: float, uploads: bool = True, every_second: Callable[[], None] = lambda: None
) -> Seen:
    """Drive the traffic; `every_second` is called once a second meanwhile. Ends when the last client is served."""
    house = Household(app, engine, seconds, uploads)
    with ThreadPoolExecutor(CLIENTS + PAGES + 1) as pool:
        work = [pool.submit(house.client, number) for number in range(CLIENTS)]
        work += [pool.submit(house.page, number) for number in range(PAGES)]
        work.append(pool.submit(house.read_health))
        tick = threading.Event()
        while house.on:
            every_second()
            tick.wait(1.0)
        for one in work:
            one.result()
    return house.seen
