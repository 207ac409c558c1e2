"""Who is resident: loads, evictions and the lock that lemond holds meanwhile (contract section 6).

Two facts of lemond are kept on purpose, because hal0 exists to live with them: a load makes every other request
wait (`_loading`), and an eviction waits for a busy victim *while it holds the router's lock*, so that health hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from hal0app.embedded import errors
from hal0app.embedded.catalogue import Catalogue, Model
from hal0app.embedded.config import Config
from hal0app.embedded.log import Log
from hal0app.embedded.options import Options, resolve
from hal0app.embedded.process import Backend
from hal0app.embedded.resident import Resident, monotonic_ms

WIPE_GRACE_S = 5.0
NOTHING: dict[str, Any] = {}


class Starts(Protocol):
    """What starts a backend: the seam where faults can be put in."""

    def start(self, name: str, arguments: list[str], timeout_s: float, cancelled: Callable[[], bool], /) -> Backend: ...


class Router:
    """The residents in order of their load, and all that changes them. Thread-safe."""

    def __init__(self, catalogue: Catalogue, config: Config, spawner: Starts, log: Log) -> None:
        self._catalogue = catalogue
        self._config = config
        self._spawner = spawner
        self._log = log
        self._held = threading.Condition(threading.RLock())
        self._loading = False
        self._closed = False
        self._residents: list[Resident] = []
        self._pins: set[str] = set()

    # --- reading ------------------------------------------------------------------------------------------------

    def residents(self) -> list[Resident]:
        """Those alive, in order of their load; the dead leave the list here."""
        with self._held:
            for dead in [resident for resident in self._residents if not resident.backend.alive]:
                name = dead.model.canonical
                self._log.write(
                    "Warn", "Router", f"Pruning unavailable backend for model: {name} (state=watchdog_reset)"
                )
                self._residents.remove(dead)
            return list(self._residents)

    def most_recent(self) -> Resident | None:
        return max(self.residents(), key=lambda resident: resident.last_use, default=None)

    def _resident(self, model: Model) -> Resident | None:
        return next((resident for resident in self.residents() if resident.model == model), None)

    # --- serving ------------------------------------------------------------------------------------------------

    @contextmanager
    def use(self, requested: str, *, streaming: bool) -> Iterator[Resident]:
        """The resident for a request, loaded if need be, and counted as busy while the block runs."""
        model = self._catalogue.get(requested)
        with self._held:
            self._await_no_load()
            resident = self._resident(model) or self._load(model, requested, self._resolve(model, NOTHING))
            resident.begin(streaming=streaming)
        try:
            yield resident
        finally:
            resident.end(streaming=streaming)

    # --- control ------------------------------------------------------------------------------------------------

    def load(self, requested: str, request: dict[str, Any]) -> Model:
        """Have a model loaded with these options: nothing to do, a reload, or a load. EngineError otherwise."""
        model = self._catalogue.get(requested)
        with self._held:
            self._await_no_load()
            options = self._resolve(model, request)
            if request.get("pinned") is not None:
                self._remember_pin(model, pinned=bool(request["pinned"]))
            resident = self._resident(model)
            if resident is not None and resident.options == options:
                resident.last_use = monotonic_ms()
                resident.pinned = model.name in self._pins
                return model
            if resident is not None:
                self._log.info("Router", f"Options changed, reloading model: {model.canonical}")
                self._evict(resident)
            self._load(model, requested, options)
        return model

    def unload(self, requested: str) -> None:
        """Unload one, waiting for it while holding the router; EngineError 404 when it is not loaded."""
        self._log.info("Router", f"Unload model called: {requested}")
        with self._held:
            resident = self._loaded(requested)
            self._pins.discard(resident.model.name)
            self._evict(resident)

    def drop(self, requested: str) -> None:
        """Evict one at once, whatever it is doing; EngineError 404 when it is not loaded."""
        with self._held:
            self._evict(self._loaded(requested), grace_s=0.0)

    def pid(self, requested: str) -> int:
        """The process of a resident; EngineError 404 when it is not loaded."""
        return self._loaded(requested).backend.pid

    def _loaded(self, requested: str) -> Resident:
        model = self._catalogue.find(requested)
        resident = self._resident(model) if model else None
        if resident is None:
            raise errors.plain(404, f"Model not loaded: {requested}")
        return resident

    def unload_all(self) -> None:
        """Unload everything; one that stays busy for five seconds stays loaded, as with lemond."""
        self._log.info("Router", "Unload all models called")
        with self._held:
            self._evict_all()
            self._pins = {resident.model.name for resident in self._residents if resident.pinned}

    def pin(self, requested: str, *, pinned: bool) -> None:
        """Protect a resident from LRU or not; EngineError 400 when it is not loaded."""
        with self._held:
            model = self._catalogue.find(requested)
            resident = self._resident(model) if model else None
            if resident is None:
                name = model.canonical if model else requested
                raise errors.typed(400, f"Model not loaded: {name}", "invalid_request_error")
            self._remember_pin(resident.model, pinned=pinned)
            resident.pinned = pinned

    def close(self) -> None:
        """Stop every backend at once and start no more."""
        self._closed = True
        for resident in list(self._residents):
            resident.backend.stop()

    # --- the rules, all under the lock --------------------------------------------------------------------------

    def _resolve(self, model: Model, request: dict[str, Any]) -> Options:
        return resolve(model, self._config.snapshot(), request)

    def _remember_pin(self, model: Model, *, pinned: bool) -> None:
        (self._pins.add if pinned else self._pins.discard)(model.name)

    def _await_no_load(self) -> None:
        self._held.wait_for(lambda: not self._loading)

    def _evict(self, resident: Resident, grace_s: float | None = None) -> None:
        """Wait for its requests, holding the lock, then end its process; `grace_s` bounds the wait."""
        self._log.info("Router", f"Evicting model: {resident.model.canonical}")
        resident.wait_idle(grace_s)
        resident.backend.stop()
        self._residents.remove(resident)
        self._log.info("Router", f"Evicted model: {resident.model.canonical}")

    def _evict_all(self) -> None:
        residents = self.residents()
        self._log.info("Router", f"Evicting all models ({len(residents)} total)")
        for resident in residents:
            if resident.wait_idle(WIPE_GRACE_S):
                self._evict(resident)
        self._log.info("Router", "Evict all completed. Remaining tombstoned models: 0")

    def _make_room(self, model: Model, requested: str) -> None:
        """Evict the least recently used of the type until one more fits; EngineError 409 if all are pinned."""
        for rival in [one for one in self.residents() if model.simulated and one.model.simulated]:
            if rival.model.type == model.type:
                self._evict(rival)  # the NPU holds one of a type, whatever is pinned (contract section 6)
        limit = self._config.max_loaded_models
        while limit != -1:
            rivals = [resident for resident in self.residents() if resident.model.type == model.type]
            if len(rivals) < limit:
                return
            victims = [resident for resident in rivals if not resident.pinned]
            if not victims:
                raise errors.slots_pinned(requested, rivals[0].pool)
            oldest = min(victims, key=lambda resident: resident.last_use)
            name = oldest.model.canonical
            self._log.info("Router", f"Slot limit reached for pool {oldest.pool}, evicting LRU: {name}")
            self._evict(oldest)

    def _load(self, model: Model, requested: str, options: Options) -> Resident:
        """Make room and start; after most failures wipe everything and try once more, as lemond does."""
        if not model.downloaded:
            cause = errors.StartError(f"Model file does not exist: {model.path}")
            raise errors.load_error(requested, cause)
        self._make_room(model, requested)
        self._loading = True
        try:
            backend = self._start_or_wipe(model, options)
        except errors.StartError as failure:
            self._log.error("Router", f"Failed to load model: {failure}")
            raise errors.load_error(requested, failure) from failure
        finally:
            self._loading = False
            self._held.notify_all()
        resident = Resident(model, options, backend, pinned=model.name in self._pins)
        self._residents.append(resident)
        self._log.info("Router", f"Model loaded successfully. Total loaded: {len(self._residents)}")
        return resident

    def _start_or_wipe(self, model: Model, options: Options) -> Backend:
        try:
            return self._start(model, options)
        except errors.StartError as failure:
            self._log.error("Router", f"Backend load failed: {failure}")
            if not failure.wipes:
                raise
        text = "Load failed with non-file-not-found error, evicting all models and retrying..."
        self._log.write("Warn", "Router", text)
        self._evict_all()
        self._pins.clear()
        try:
            return self._start(model, options)
        except errors.StartError as failure:
            self._log.error("Router", f"Retry also failed: {failure}")
            raise

    def _start(self, model: Model, options: Options) -> Backend:
        """Start a backend with the lock released: health answers during a load, and does not show it."""
        self._log.info("LlamaCpp", f"Loading model: {model.canonical}")
        command = options.command(model)
        timeout_s = float(self._config["global_timeout"])
        self._held.release()
        try:
            return self._spawner.start(model.name, command, timeout_s, lambda: self._closed)
        finally:
            self._held.acquire()
