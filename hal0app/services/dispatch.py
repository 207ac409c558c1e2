"""The path of one request: resolve, lease, open the upstream, commit at the first event, relay.

Nothing is promised to the client before the first bytes of an answer are known good. Until then a model that turns
out to be gone is loaded again, once, and the request is sent again, once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec.structs import replace

from hal0app import errors
from hal0app.core import headers as http_headers
from hal0app.core import routing
from hal0app.core.clock import Clock
from hal0app.core.endpoints import Endpoint
from hal0app.core.endpoints import dialect as dialect_of
from hal0app.core.fair_queue import Caller
from hal0app.core.json_body import JsonBody
from hal0app.core.slot_config import SlotConfig
from hal0app.core.upstream import Aborted, Unheard, Unreached
from hal0app.services.answer import Answer, Trip
from hal0app.services.ask import Ask, body_for, onwards
from hal0app.services.catalogue import Catalogue
from hal0app.services.commit import ModelGone, NotReady, committed, failure, nobody
from hal0app.services.control import Control, Want
from hal0app.services.crashes import Crashes
from hal0app.services.lease import Lease, Moved
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer
from hal0app.services.ports import Client, Upstream
from hal0app.services.pulls import Pulls
from hal0app.services.routes import Routes
from hal0app.services.target import target
from hal0app.services.waiting import Waits

SETTLE_S = 3.0
READY_POLL_S = 0.25


class Dispatch:
    """Serves requests."""

    def __init__(
        self,
        observer: Observer,
        control: Control,
        leases: Leases,
        routes: Routes,
        catalogue: Catalogue,
        upstream: Upstream,
        crashes: Crashes,
        pulls: Pulls,
        clock: Clock,
        lemonade_url: str,
        wait_s: float,
        heartbeat_s: float = 5.0,
    ) -> None:
        self._observer, self._control, self._leases = observer, control, leases
        self._catalogue, self._upstream, self._crashes, self._clock = catalogue, upstream, crashes, clock
        self._lemonade_url, self._wait_s = lemonade_url.rstrip("/"), wait_s
        self._routes, self._pulls, self._heartbeat_s = routes, pulls, heartbeat_s

    # -- an endpoint of the table

    def serve(self, endpoint: Endpoint, ask: Ask, client: Client) -> Answer:
        """Serve a request to `endpoint`. Raises Hal0Error for everything that is not the backend's own answer."""
        route = self._routes.of(endpoint, ask)
        if isinstance(route, routing.ToSlot):
            ask.told(Trip(slot=route.slot.name, model=route.slot.model or "", route="slot", path=""))
        want, pulled_s = self._routes.want(route, endpoint, client), 0.0
        if isinstance(route, routing.ToFallback) and want is None:
            want, pulled_s = self._pulled(route, endpoint, ask, client)
        assert want is not None
        return self._leased(want, endpoint, ask, client, pulled_s)

    def _pulled(self, route: routing.ToFallback, endpoint: Endpoint, ask: Ask, client: Client) -> tuple[Want, float]:
        """What is wanted once its model is downloaded, and how many seconds that took, which nothing limits."""
        model, began = route.model, self._clock().tick
        streams = ask.streams and endpoint.streams
        quiet = self._beating(lambda: self._pulls.words(model), 0.0, client) if streams else None
        try:
            pulled = self._pulls.bring(model, ask.agent, client)
        finally:
            if quiet is not None:
                quiet()
            took_s = self._clock().tick - began
            ask.told(_trip(Want(model), Waits(took_s, load_s=took_s), replayed=False).by(""))
        want = self._routes.want(route, endpoint, client)
        if want is None:
            code = "model.pull_failed" if pulled.latest.status == "error" else "model.not_downloaded"
            raise errors.error(code, f"'{model}' is not on this machine: {pulled.told}", param="model")
        return want, took_s

    def _leased(self, want: Want, endpoint: Endpoint, ask: Ask, client: Client, pulled_s: float = 0.0) -> Answer:
        waits = Waits((want.slot.wait_s if want.slot else self._wait_s) + pulled_s, load_s=pulled_s)
        streams = ask.streams and endpoint.streams
        caller = Caller(ask.client, ask.priority, streams, agent=ask.agent, request=ask.id)
        for replayed in (False, True):
            want, lease = self._lease(want, endpoint, ask, client, caller, waits)
            trip, waited_s = _trip(want, waits, replayed), waits.queue_s + waits.load_s
            quiet = self._beating(self._words(want, waited_s), waited_s, client) if caller.streams else None
            try:
                answer = self._when_ready(want, lease, endpoint, ask, client, trip, waits)
            except ModelGone as gone:
                want, caller = self._lost(want, lease, gone, client, again=not replayed), replace(caller, lost=lease)
                continue
            except BaseException:
                lease.release()
                raise
            finally:
                if quiet is not None:
                    quiet()
            self._crashes.answered(lease.resident)
            answer.endpoint = endpoint.path
            answer.on_close(lease.release)
            return answer
        raise errors.error("model.gone", f"'{want.model}' vanished twice while serving this request", retry_after=5)

    def _lease(
        self, want: Want, endpoint: Endpoint, ask: Ask, client: Client, caller: Caller, waits: Waits
    ) -> tuple[Want, Lease]:
        """A lease on what is wanted, or on what took its place while it was waited for; `waits` tells how long."""

        def in_vain(queue_s: float, load_s: float) -> None:
            waits.more(queue_s, load_s)
            ask.told(_trip(want, waits, caller.replays).by(""))

        try:
            lease = self._control.lease(want, waits.left_s, client, caller, in_vain)
        except Moved:
            want = self._routes.want(self._routes.of(endpoint, ask), endpoint, client) or want
            lease = self._control.lease(want, waits.left_s, client, caller, in_vain)
        waits.more(lease.queue_s, lease.load_s)
        return want, lease

    def _words(self, want: Want, waited_s: float) -> Callable[[], str]:
        since = self._clock().tick - waited_s
        return lambda: f"hal0 waiting for {want.name} {round(self._clock().tick - since)}s"

    def _beating(self, words: Callable[[], str], waited_s: float, client: Client) -> Callable[[], None]:
        """Let the client of a stream know what it waits for; returns how to end that."""
        silent_s = client.silent_s if client.begun else waited_s
        return client.beating(words, max(self._heartbeat_s - silent_s, 0.0), self._heartbeat_s)

    def _lost(self, want: Want, lease: Lease, gone: ModelGone, client: Client, again: bool) -> Want:
        """What is wanted when the request is sent again, which is not on the loading that just failed."""
        if gone.proof is not None:
            self._leases.bury(lease.resident)
        lease.lose(returns=again)
        try:
            if gone.proof is not None:
                self._crashes.note(lease.resident, want.slot, gone.proof)
            self._look(client)  # a look that knows of the proof
            slot = self._observer.snapshot.slot(want.asked.name) if again and want.asked is not None else None
            wanted = self._routes.of_slot(slot) if isinstance(slot, SlotConfig) else want
        except BaseException:
            if again:
                self._leases.unreserve(lease)
            raise
        if wanted.model != want.model:
            self._leases.unreserve(lease)
        return wanted

    def _look(self, client: Client) -> None:
        """Wait for a fresh look. Raises `client.gone`, `system.stopping`."""
        gone = threading.Event()

        def leave() -> None:
            gone.set()
            self._observer.wake()

        forget = client.on_gone(leave)
        try:
            self._observer.after(self._clock(), SETTLE_S, wanted=lambda: not gone.is_set())
        finally:
            forget()
        if gone.is_set():
            raise failure(Aborted(), client)

    def _when_ready(
        self, want: Want, lease: Lease, endpoint: Endpoint, ask: Ask, client: Client, trip: Trip, waits: Waits
    ) -> Answer:
        """Send the request, again and again while its backend says that it still loads, for as long as it may wait."""
        until = self._clock().tick + waits.left_s
        while True:
            try:
                return self._send(want, lease, endpoint, ask, client, trip)
            except NotReady:
                if self._clock().tick >= until:
                    message = f"'{want.name}' still loads its model, try again"
                    raise errors.error("slot.loading", message, retry_after=5) from None
            gone = threading.Event()
            forget = client.on_gone(gone.set)
            left = gone.wait(READY_POLL_S)
            forget()
            if left:
                raise failure(Aborted(), client)

    def _send(self, want: Want, lease: Lease, endpoint: Endpoint, ask: Ask, client: Client, trip: Trip) -> Answer:
        goal = target(want, lease.resident, endpoint, self._lemonade_url)
        trip = trip.by("direct") if goal.direct else trip
        ask.told(trip)
        sent = onwards(ask)
        body, length = body_for(ask, goal.model)
        if length is not None and not isinstance(body, bytes):
            sent = [*sent, ("Content-Length", str(length))]
        call = self._upstream.call(goal.base, ask.method, goal.path, sent, body)
        try:
            return committed(call, client, trip, endpoint.dialect, stranger=self._stranger(want))
        except (Unreached, Unheard) as problem:
            if trip.path != "direct":
                raise _unavailable(self._lemonade_url) from problem
            if isinstance(problem, Unreached):
                raise ModelGone(str(problem)) from problem
            message = f"no connection to the backend of '{want.model}' could be made ({problem}), try again"
            raise errors.error("upstream.unreachable", message, retry_after=5) from problem
        except ModelGone as gone:
            raise ModelGone(gone.proof if trip.path == "direct" else None) from gone

    def _stranger(self, want: Want) -> Callable[[str], bool]:
        """Whether a model's name in an answer tells that its server has taken over the address of the wanted one."""
        if want.shadow is not None:
            return nobody
        return lambda told: told != want.model and self._catalogue.knows(told)

    # -- everything else under /v1

    def forward(self, ask: Ask, client: Client) -> Answer:
        """Pass a request to lemond as it came, streaming both ways.

        Where it downloads or loads something first, it says nothing for as long as that takes.
        """
        assert not isinstance(ask.body, JsonBody)
        sent = http_headers.upwards(ask.headers)
        if ask.length is not None and ask.body is not None:
            sent.append(("Content-Length", str(ask.length)))
        body = b"" if ask.body is None and ask.method in {"POST", "PUT", "PATCH"} else ask.body
        call = self._upstream.call(self._lemonade_url, ask.method, ask.path, sent, body, patient=True)
        try:
            return committed(call, client, Trip(), dialect_of(ask.path), judge=False)
        except (Unreached, Unheard) as problem:
            raise _unavailable(self._lemonade_url) from problem


def _trip(want: Want, waits: Waits, replayed: bool) -> Trip:
    return Trip(
        slot=want.asked.name if want.asked else "",
        model=want.model,
        route="slot" if want.slot else "fallback",
        queue_ms=round(waits.queue_s * 1000),
        load_ms=round(waits.load_s * 1000),
        replayed=replayed,
    )


def _unavailable(url: str) -> errors.Hal0Error:
    return errors.error("lemonade.unavailable", f"Lemonade at {url} does not answer. Is lemond running?", retry_after=5)
