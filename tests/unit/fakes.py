"""Hand-written stand-ins for what the services need (services/ports.py), in memory and without timing of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hal0app import errors
from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.operation import Cause, Evidence, Kind, Operation, Status
from hal0app.core.reconcile import Past, Recorded
from hal0app.core.residency import Link, Observation, Resident
from hal0app.core.settings import CrashLoop
from hal0app.core.settlement import Outcome
from hal0app.core.slot import Broken
from hal0app.core.slot_config import SlotConfig, read_slot
from hal0app.services.acts import Acts
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Control
from hal0app.services.crashes import Crashes
from hal0app.services.dispatch import Dispatch
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer
from hal0app.services.preflight import Preflight
from hal0app.services.quarantines import Quarantines
from hal0app.services.routes import Routes
from hal0app.services.slots import Slots

LEMOND = "http://lemond:13305"
WALL = 1_700_000_000.0


def at(tick: float) -> Moment:
    """The moment of a tick."""
    return Moment(tick, WALL + tick)


class HandClock:
    """A clock that moves only when it is told to."""

    def __init__(self, tick: float = 1000.0) -> None:
        self.tick = tick

    def __call__(self) -> Moment:
        return at(self.tick)

    def pass_s(self, seconds: float) -> None:
        self.tick += seconds


class StrictClock:
    """Real time, but every reading is later than the one before."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), 0.0

    def __call__(self) -> Moment:
        with self._lock:
            self._last = max(time.monotonic(), self._last + 1e-6)
            return at(self._last)


def slot(name: str = "primary", model: str | None = "m", **keys: Any) -> SlotConfig:
    """A slot, an llm with model `m` unless told otherwise."""
    stated = {} if model is None else {"model": model}
    return read_slot(name, {"type": "llm", **stated, **keys})


def resident(model: str = "m", pid: int = 1, **facts: Any) -> Resident:
    """A resident llama.cpp model."""
    facts = {"pool": f"standard/{facts.get('type', 'llm')}", "recipe": "llamacpp", **facts}
    return Resident(model, backend_url=facts.pop("backend_url", f"http://child:{pid}/v1"), pid=pid, **facts)


def seen(tick: float, *residents: Resident | str, link: Link = Link.UP, **facts: Any) -> Observation:
    """An observation taken at `tick`."""
    held = tuple(resident(one) if isinstance(one, str) else one for one in residents)
    return Observation(at(tick), link, held, **facts)


def operation(kind: str = "load", model: str = "m", started: float = 10.0, **facts: Any) -> Operation:
    """An operation; `finished` and `heartbeat` are ticks, `status` follows from `finished` and `error_code`."""
    finished = facts.pop("finished", None)
    beat = facts.pop("heartbeat", None)
    ended = Status.FAILED if facts.get("error_code") else Status.DONE
    return Operation(
        id=facts.pop("id", f"{kind}-{model}-{started:g}"),
        kind=Kind(kind),
        model=model,
        slot=facts.pop("slot", None),
        cause=facts.pop("cause", Cause()),
        started=at(started),
        status=facts.pop("status", Status.RUNNING if finished is None else ended),
        heartbeat=None if beat is None else at(beat),
        finished=None if finished is None else at(finished),
        **facts,
    )


class MemoryStates:
    """The store's contract in memory: `settle` is atomic and writes nothing when there is nothing to write."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.recorded = Recorded()
        self.operations: dict[str, Operation] = {}
        self.evidence: dict[tuple[str, str], Evidence] = {}
        self.entries: list[Entry] = []
        self.beats: list[str] = []
        self._findings: list[dict[str, Any]] = []

    def settle(self, decide: Callable[[Past], Outcome], now: Moment) -> Outcome:
        with self._lock:
            outcome = decide(self.past(now))
            before = self.recorded
            records = {**before.records, **{one.slot: one.after for one in outcome.transitions}}
            for name in outcome.forgotten:
                records.pop(name)
            since = before.link_since if outcome.link is None else now.wall
            self.recorded = Recorded(records, outcome.residency or before.residency, outcome.link or before.link, since)
            self.entries += outcome.entries
            return outcome

    def past(self, now: Moment) -> Past:
        with self._lock:
            newest = tuple(reversed(self.operations.values()))
            return Past(self.recorded, newest, tuple(self.evidence.values()))

    def save_operation(self, operation: Operation, entries: Sequence[Entry] = ()) -> None:
        with self._lock:
            self.operations[operation.id] = operation
            self.entries += entries

    def heartbeat(self, operation_id: str, now: Moment) -> None:
        with self._lock:
            self.beats.append(operation_id)
            self.operations[operation_id] = replace(self.operations[operation_id], heartbeat=now)

    def operation(self, operation_id: str) -> Operation | None:
        return self.operations.get(operation_id)

    def save_evidence(self, evidence: Evidence) -> None:
        with self._lock:
            self.evidence[evidence.model, evidence.kind] = evidence

    def proofs(self, kind: str) -> list[Evidence]:
        return [one for one in list(self.evidence.values()) if one.kind == kind]

    def forget_evidence(self, model: str, *kinds: str) -> None:
        with self._lock:
            for kind in kinds:
                self.evidence.pop((model, kind), None)

    def keep_findings(self, kind: str, found: Mapping[str, str], now: Moment, source: str) -> list[Entry]:
        before = {one["key"]: one["text"] for one in self._findings if one["kind"] == kind}
        others = [one for one in self._findings if one["kind"] != kind]
        now_found = [{"kind": kind, "key": key, "text": text, "since": now.wall} for key, text in found.items()]
        self._findings = [*others, *now_found]
        new = [Entry(now.wall, kind, text, "warning", source) for key, text in found.items() if before.get(key) != text]
        self.entries += new
        return new

    def findings(self) -> list[dict[str, Any]]:
        return self._findings

    def write_journal(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            self.entries += entries

    def journal(self, since: int = 0, limit: int = 200, newest: bool = False, **equals: str | None) -> list[Entry]:
        return self.entries[since : since + limit]

    def told(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds."""
        with self._lock:
            return [one for one in self.entries if one.kind in kinds]


class Folder:
    """Slot definitions in memory."""

    def __init__(self, *slots: SlotConfig | Broken) -> None:
        self.problem: OSError | None = None
        self.slots: dict[str, SlotConfig | Broken] = {one.name: one for one in slots}
        self.definitions: dict[str, dict[str, Any]] = {
            one.name: {"type": str(one.type), **({"model": one.model} if one.model else {})}
            for one in slots
            if isinstance(one, SlotConfig)
        }

    def all(self) -> list[SlotConfig | Broken]:
        if self.problem is not None:
            raise self.problem
        return [self.slots[name] for name in sorted(self.slots)]

    def put(self, slot: SlotConfig | Broken) -> None:
        self.slots[slot.name] = slot

    def etag(self, name: str) -> str | None:
        return str(hash(repr(self.definitions.get(name)))) if name in self.definitions else None

    def definition(self, name: str) -> dict[str, Any] | None:
        return self.definitions.get(name)

    def write(self, name: str, definition: Mapping[str, Any]) -> None:
        self.definitions[name] = dict(definition)
        self.slots[name] = read_slot(name, definition)

    def remove(self, name: str) -> None:
        self.slots.pop(name, None)
        self.definitions.pop(name, None)


class FakeLemond:
    """Looks and Lemonade in one: loads take a place, unloads free it; `gate` holds loads, `failures` spoil them.

    A failing load wipes every resident when `wipes` is set, as lemond does. `calls` is the log of control acts.
    """

    def __init__(self, clock: Callable[[], Moment], models: Iterable[Mapping[str, Any]] = ()) -> None:
        self._clock, self._lock = clock, threading.RLock()
        self.rows = {row["id"]: dict(row) for row in models}
        self.held: dict[str, Resident] = {}
        self.capacity: dict[str, int] = {}
        self.link = Link.UP
        self.boot: str | None = None
        self.backends: frozenset[str] | Exception = frozenset({"vulkan", "cpu"})
        self.wanted_config: dict[str, Any] | None = {}
        self.failures: dict[str, Exception] = {}
        self.unload_failures: dict[str, Exception] = {}
        self.wipes = False
        self.calls: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.loading, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.pause: threading.Event | None = None  # questions about models wait for it
        self.busy = 0
        self.most_busy = 0
        self._pid = 100

    # Looks

    def look(self) -> Observation:
        taken = self._clock()
        with self._lock:
            if self.link is not Link.UP:
                return Observation(taken, self.link)
            held = tuple(sorted(self.held.values(), key=lambda one: one.model))
            return Observation(taken, Link.UP, held, dict(self.capacity), boot=self.boot)

    def ping(self) -> Link:
        return Link.BUSY if self.link is Link.UP else self.link

    def config(self) -> dict[str, Any] | None:
        return self.wanted_config

    def answers(self, model: str, busy: bool) -> None:
        """Let lemond answer somebody with it, or nobody any more."""
        with self._lock:
            self.held[model] = replace(self.held[model], busy=busy)

    # Lemonade

    @contextmanager
    def _acting(self) -> Iterator[None]:
        with self._lock:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            yield
        finally:
            with self._lock:
                self.busy -= 1

    def load(self, body: Mapping[str, Any]) -> None:
        model = body["model_name"]
        with self._acting():
            with self._lock:
                self.calls.append(("load", model))
                self.bodies.append(dict(body))
            self.loading.set()
            assert self.gate.wait(20), "nobody opened the gate"
            with self._lock:
                if model in self.failures:
                    if self.wipes:
                        self.held.clear()
                    raise self.failures[model]
                self.put(model, pinned=bool(body.get("pinned")))

    def unload(self, model: str) -> bool:
        with self._acting(), self._lock:
            self.calls.append(("unload", model))
            if model in self.unload_failures:
                raise self.unload_failures[model]
            return self.held.pop(model, None) is not None

    def pin(self, model: str, pinned: bool) -> None:
        with self._lock:
            self.held[model] = replace(self.held[model], pinned=pinned)

    def models(self) -> list[dict[str, Any]]:
        self.asked.append("*")
        self._must_answer()
        return [row for row in self.rows.values() if row.get("downloaded", True)]

    def model(self, model: str) -> dict[str, Any] | None:
        self.asked.append(model)
        self._must_answer()
        return self.rows.get(model)

    def installed_backends(self, recipe: str) -> frozenset[str]:
        if isinstance(self.backends, Exception):
            raise self.backends
        return self.backends

    def _must_answer(self) -> None:
        assert self.pause is None or self.pause.wait(20), "nobody let lemond answer"
        if self.link is Link.DOWN:
            raise errors.error("lemonade.unavailable", "down")

    # what tests do to it

    def put(self, model: str, **facts: Any) -> Resident:
        """Make `model` resident, in a loading of its own, as its labels say."""
        with self._lock:
            self._pid += 1
            labels = self.rows.get(model, {}).get("labels", ())
            facts.setdefault("type", "embedding" if "embeddings" in labels else "llm")
            self.held[model] = resident(model, self._pid, **facts)
            return self.held[model]

    def drop(self, *models: str) -> None:
        with self._lock:
            for model in models:
                self.held.pop(model, None)


@dataclass
class FakeClient:
    """A client that leaves when told, and keeps what it is told while it waits."""

    gone: bool = False
    begun: bool = False
    dismissed: bool = False
    silent_s: float = 0.0
    told: list[str] = field(default_factory=list)
    pulses: list[tuple[Callable[[], str], float, float]] = field(default_factory=list)
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]:
        if self.gone:
            callback()
            return lambda: None
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback) if callback in self.callbacks else None

    def heartbeat(self, text: str) -> None:
        if self.gone:
            raise errors.error("client.gone", "the client closed its connection")
        self.begun = True
        self.told.append(text)

    def beating(self, words: Callable[[], str], first_s: float, every_s: float) -> Callable[[], None]:
        self.pulses.append((words, first_s, every_s))
        return lambda: self.pulses.remove((words, first_s, every_s))

    def leave(self) -> None:
        self.gone = True
        for callback in list(self.callbacks):
            callback()


class FakeReply:
    """An answer whose pieces are bytes, exceptions to raise, or callables that give either."""

    def __init__(self, status: int = 200, kind: str = "application/json", *pieces: Any) -> None:
        self.status, self.headers = status, [("Content-Type", kind)]
        self._pieces = pieces
        self._read: list[bytes] = []
        self._tap: Callable[[bytes], object] | None = self._read.append
        self.closed = 0

    def chunks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            told = piece() if callable(piece) else piece
            if isinstance(told, Exception):
                raise told
            if self._tap is not None:
                self._tap(told)
            yield told

    def to_tap(self, tap: Callable[[bytes], None] | None) -> None:
        for piece in self._read if tap is not None else ():
            tap(piece)
        self._tap = tap

    def close(self) -> None:
        self.closed += 1


class FakeCall:
    def __init__(self, told: Any, patient: bool = False) -> None:
        self._told, self.patient = told, patient
        self.aborted = threading.Event()

    def reply(self) -> FakeReply:
        told = self._told(self) if callable(self._told) else self._told
        if isinstance(told, Exception):
            raise told
        return told

    def abort(self) -> None:
        self.aborted.set()


class FakeUpstream:
    """Answers calls in turn with `script`: replies, exceptions, or functions of the call. Repeats the last."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.sent: list[tuple[str, str, str, list[tuple[str, str]], Any]] = []
        self.calls: list[FakeCall] = []

    def call(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
        patient: bool = False,
    ) -> FakeCall:
        self.sent.append((base_url, method, path, list(headers), body))
        call = FakeCall(self.script.pop(0) if len(self.script) > 1 else self.script[0], patient)
        self.calls.append(call)
        return call


class House:
    """All services over the fakes. `running()` starts observer and control worker on threads, and ends them."""

    def __init__(
        self,
        *slots: SlotConfig | Broken,
        models: Sequence[Mapping[str, Any]] = (),
        wait_s: float = 20,
        heartbeat_s: float = 5,
    ) -> None:
        self.clock = StrictClock()
        self.lemond = FakeLemond(self.clock, models or [{"id": one} for one in ("m", "n", "o")])
        self.folder, self.store, self.upstream = Folder(*slots), MemoryStates(), FakeUpstream(FakeReply())
        self.observer = Observer(self.lemond, self.folder, self.store, self.clock, 0.01)
        self.leases = Leases(self.clock)
        self.catalogue = Catalogue(self.lemond, self.clock)
        self.quarantines = Quarantines(self.store, self.clock)
        preflight = Preflight(self.catalogue, quarantines=self.quarantines)
        parts = (self.lemond, self.catalogue, self.leases, self.observer, self.store, self.clock)
        self.acts = Acts(*parts, "test", wait_s, preflight)
        self.control = Control(self.acts, self.leases, self.observer, self.clock, heartbeat_s)
        self.routes = Routes(self.observer, self.catalogue)
        self.dispatch = Dispatch(
            self.observer,
            self.control,
            self.leases,
            self.routes,
            self.catalogue,
            self.upstream,
            Crashes(self.store, self.clock, CrashLoop(), list),
            self.clock,
            LEMOND,
            wait_s,
        )
        places = (self.folder, self.observer, self.control, self.leases, self.store, self.clock)
        self.slots = Slots(*places, self.quarantines)

    @contextmanager
    def running(self) -> Iterator[House]:
        self.observer.step()
        threads = [threading.Thread(target=work, daemon=True) for work in (self.observer.run, self.control.run)]
        for one in threads:
            one.start()
        try:
            yield self
        finally:
            self.lemond.gate.set()
            self.control.stop()
            threads[1].join(20)
            self.observer.stop()
            threads[0].join(20)
            assert not any(one.is_alive() for one in threads)

    def reason(self, name: str = "primary") -> str:
        return self.observer.snapshot.record(name).reason

    def state(self, name: str = "primary") -> str:
        return self.observer.snapshot.record(name).state

    def look(self) -> None:
        """Wait for a look that begins now."""
        assert self.observer.after(self.clock(), 20, fresh=False) is not None


class Asking(threading.Thread):
    """Runs `work` on a thread; `result()` waits for its value or raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self._value, self._error = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as problem:  # noqa: BLE001 - handed to whoever asks for the result
            self._error = problem

    def result(self, within: float = 20) -> Any:
        self.join(within)
        assert not self.is_alive(), f"not done within {within:g} s"
        if self._error is not None:
            raise self._error
        return self._value
