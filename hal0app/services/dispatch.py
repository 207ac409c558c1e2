"""The path of one request: resolve, lease, open the upstream, commit at the first event, relay.

Nothing is promised to the client before the first bytes of an answer are known good. Until then a model that turns
out to be gone is loaded again, once, and the request is sent again, once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hal0app import errors
from hal0app.core import backend_error, npu, npu_route, routing, sse
from hal0app.core import headers as http_headers
from hal0app.core.clock import Clock
from hal0app.core.dialect import Dialect
from hal0app.core.endpoints import Endpoint
from hal0app.core.endpoints import dialect as dialect_of
from hal0app.core.fair_queue import Caller, Priority
from hal0app.core.headers import Headers
from hal0app.core.json_body import JsonBody
from hal0app.core.openai import answered_by
from hal0app.core.slot import guard
from hal0app.core.slot_config import SlotConfig
from hal0app.core.upstream import Aborted, Broken, Garbled, Silent, Unreached
from hal0app.services import refusal
from hal0app.services.answer import Answer, Trip
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Control, Want
from hal0app.services.crashes import Crashes
from hal0app.services.lease import Lease, Moved
from hal0app.services.leases import Leases
from hal0app.services.observer import Observer
from hal0app.services.ports import Call, Client, Reply, Upstream
from hal0app.services.upload import Upload

SETTLE_S = 3.0
READY_POLL_S = 0.25
FIRST_EVENT_BYTES = 1 << 20


def unheard(trip: Trip) -> None:
    """For a request that nobody keeps a record of."""


@dataclass(frozen=True)
class Ask:
    """One request as it came. `payload` is its JSON object where the endpoint is one of the table."""

    method: str
    path: str  # after the host, with the query: what goes to lemond
    headers: Headers
    body: JsonBody | bytes | Iterable[bytes] | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    length: int | None = None  # bytes of a body that is not in memory, None when the client did not say
    port_slot: str | None = None  # the slot whose port it came in on: that one serves it, whatever `model` says
    client: str = ""  # whom to be fair to in a queue
    priority: Priority = Priority.INTERACTIVE
    agent: str = ""
    id: str = ""
    told: Callable[[Trip], None] = unheard  # called with where the request goes, and again when more is known

    @property
    def streams(self) -> bool:
        """Whether a stream of events is asked for."""
        return self.payload.get("stream") is True


def nobody(told: str) -> bool:
    """No model's name in an answer is a stranger's."""
    return False


class ModelGone(Exception):
    """The model was not there when the request reached it. `proof` is evidence of a crash, where there is some."""

    def __init__(self, proof: str | None = None) -> None:
        super().__init__(proof or "model not loaded")
        self.proof = proof


class NotReady(Exception):
    """The backend is there and still loads its model."""


class Dispatch:
    """Serves requests."""

    def __init__(
        self,
        observer: Observer,
        control: Control,
        leases: Leases,
        catalogue: Catalogue,
        upstream: Upstream,
        crashes: Crashes,
        clock: Clock,
        lemonade_url: str,
        wait_s: float,
        aliases: Mapping[str, str] = routing.NO_ALIASES,
        implicit_pull: bool = False,
        heartbeat_s: float = 5.0,
    ) -> None:
        self._observer, self._control, self._leases = observer, control, leases
        self._catalogue, self._upstream, self._crashes, self._clock = catalogue, upstream, crashes, clock
        self._lemonade_url, self._wait_s = lemonade_url.rstrip("/"), wait_s
        self._aliases, self._implicit_pull, self._heartbeat_s = aliases, implicit_pull, heartbeat_s

    # -- an endpoint of the table

    def serve(self, endpoint: Endpoint, ask: Ask, client: Client) -> Answer:
        """Serve a request to `endpoint`. Raises Hal0Error for everything that is not the backend's own answer."""
        route = self._route(endpoint, ask)
        if isinstance(route, routing.ToSlot):
            ask.told(Trip(slot=route.slot.name, model=route.slot.model or "", route="slot", path=""))
        want = self._want(route, endpoint)
        if isinstance(route, routing.ToFallback) and want is None:
            return self._with_pull(route.model, endpoint, ask, client)
        assert want is not None
        return self._leased(want, endpoint, ask, client)

    def _route(self, endpoint: Endpoint, ask: Ask) -> routing.Route:
        name = str(ask.payload.get("model") or "")
        return routing.resolve(name, endpoint.type, self._observer.snapshot.slots, self._aliases, ask.port_slot)

    def _want(self, route: routing.Route, endpoint: Endpoint) -> Want | None:
        """What serves the route now; None when its model would have to be downloaded first and may be."""
        if isinstance(route, routing.ToSlot):
            return self._slot_want(route.slot)
        return self._fallback_want(route.model, endpoint)

    def _slot_want(self, slot: SlotConfig) -> Want:
        record = self._observer.snapshot.record(slot.name)
        refused = guard("serve", record)
        chat = npu.carrier(slot, self._observer.snapshot.configs)
        if npu.is_shadow(slot) and slot.enabled and chat is None:
            raise npu_route.unavailable(slot)
        if not slot.enabled or (chat or slot).model is None:
            refused = refused or ("slot.no_model" if slot.enabled else "slot.disabled")
        if refused is not None:
            raise errors.error(refused, f"slot '{slot.name}': {record.message}", param="model")
        return Want(chat.model or "", chat, slot) if chat else Want(slot.model or "", slot)

    def _fallback_want(self, name: str, endpoint: Endpoint) -> Want | None:
        """The model as Lemonade has it; None when it would have to be downloaded first and may be."""
        model, slots = self._catalogue.find(name), self._observer.snapshot.slots
        if model is None:
            raise routing.no_route(name, slots, {one.id for one in self._catalogue.models()})
        if model.type is not endpoint.type:
            raise routing.type_mismatch(f"'{name}' is a model for {model.type}", endpoint.type, slots)
        if model.downloaded:
            return Want(model.id)
        if self._implicit_pull:
            return None
        raise routing.not_downloaded(name)

    def _with_pull(self, model: str, endpoint: Endpoint, ask: Ask, client: Client) -> Answer:
        """Let lemond download the model in the middle of the request, however long that takes."""
        body, length = _body(ask, model)
        return self.forward(replace(ask, path=f"/v1/{endpoint.path}", body=body, length=length), client)

    def _leased(self, want: Want, endpoint: Endpoint, ask: Ask, client: Client) -> Answer:
        wait_s = want.slot.wait_s if want.slot else self._wait_s
        streams = ask.streams and endpoint.streams
        caller = Caller(ask.client, ask.priority, streams, agent=ask.agent, request=ask.id)
        queue_s = load_s = 0.0
        until = self._clock().tick + wait_s
        for replayed in (False, True):
            try:
                lease = self._control.lease(
                    want, wait_s, client, caller, _in_vain(ask, want, queue_s, load_s, replayed)
                )
            except Moved:
                want = self._want(self._route(endpoint, ask), endpoint) or want
                lease = self._control.lease(
                    want, wait_s, client, caller, _in_vain(ask, want, queue_s, load_s, replayed)
                )
            queue_s, load_s = queue_s + lease.queue_s, load_s + lease.load_s
            trip = _trip(want, queue_s, load_s, replayed)
            quiet = self._beating(want, queue_s + load_s, client) if caller.streams else None
            try:
                answer = self._when_ready(want, lease, endpoint, ask, client, trip, until)
            except ModelGone as gone:
                want, caller = self._lost(want, lease, gone, again=not replayed), replace(caller, replays=True)
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

    def _beating(self, want: Want, waited_s: float, client: Client) -> Callable[[], None]:
        """Let the client of a stream know that it waits for the first event; returns how to end that."""
        since = self._clock().tick - waited_s
        first_s = self._heartbeat_s if client.begun else max(self._heartbeat_s - waited_s, 0.0)
        return client.beating(
            lambda: f"hal0 waiting for {want.name} {round(self._clock().tick - since)}s", first_s, self._heartbeat_s
        )

    def _lost(self, want: Want, lease: Lease, gone: ModelGone, again: bool) -> Want:
        """What is wanted when the request is sent again, which is not on the loading that just failed."""
        now = self._clock()
        if gone.proof is not None:
            self._leases.bury(lease.resident)
        lease.lose(returns=again)
        try:
            if gone.proof is not None:
                self._crashes.note(lease.resident, want.slot, gone.proof)
            self._observer.after(now, SETTLE_S)
            slot = self._observer.snapshot.slot(want.asked.name) if again and want.asked is not None else None
            wanted = self._slot_want(slot) if isinstance(slot, SlotConfig) else want
        except BaseException:
            if again:
                self._leases.unreserve(want.model)
            raise
        if wanted.model != want.model:
            self._leases.unreserve(want.model)
        return wanted

    def _when_ready(
        self, want: Want, lease: Lease, endpoint: Endpoint, ask: Ask, client: Client, trip: Trip, until: float
    ) -> Answer:
        """Send the request, again and again while its backend says that it still loads, until the tick `until`."""
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
                raise _failure(Aborted())

    def _send(self, want: Want, lease: Lease, endpoint: Endpoint, ask: Ask, client: Client, trip: Trip) -> Answer:
        resident = lease.resident
        model = want.model
        direct = endpoint.direct and resident.recipe == "llamacpp" and bool(resident.backend_url)
        if want.shadow is not None:
            if resident.recipe != npu.FLM or not resident.backend_url:
                raise npu_route.unavailable(want.shadow)
            base, path, model = (
                npu_route.base_url(resident.backend_url),
                f"/v1/{endpoint.path}",
                want.shadow.model or model,
            )
            trip = trip._replace(path="direct")
        elif want.slot is None or want.slot.path == "lemond" or not direct:
            base, path = self._lemonade_url, f"/v1/{endpoint.path}"
        else:
            base, path = resident.backend_url, f"/{endpoint.path}"
            trip = trip._replace(path="direct")
        ask.told(trip)
        sent = http_headers.plain(http_headers.upwards(ask.headers))
        body, length = _body(ask, model)
        if length is not None and not isinstance(body, bytes):
            sent.append(("Content-Length", str(length)))
        call = self._upstream.call(base, ask.method, path, sent, body)
        try:
            return self._commit(call, client, trip, endpoint.dialect, stranger=self._stranger(want))
        except Unreached as problem:
            if trip.path == "direct":
                raise ModelGone(str(problem)) from problem
            raise _unavailable(self._lemonade_url) from problem
        except ModelGone as gone:
            raise ModelGone(gone.proof if trip.path == "direct" else None) from gone

    def _stranger(self, want: Want) -> Callable[[str], bool]:
        """Whether a model's name in an answer tells that its server has taken over the address of the wanted one."""
        if want.shadow is not None:
            return nobody
        return lambda told: told != want.model and self._catalogue.knows(told)

    # -- everything else under /v1

    def forward(self, ask: Ask, client: Client) -> Answer:
        """Pass a request to lemond as it came, streaming both ways."""
        assert not isinstance(ask.body, JsonBody)
        sent = http_headers.upwards(ask.headers)
        if ask.length is not None and ask.body is not None:
            sent.append(("Content-Length", str(ask.length)))
        body = b"" if ask.body is None and ask.method in {"POST", "PUT", "PATCH"} else ask.body
        call = self._upstream.call(self._lemonade_url, ask.method, ask.path, sent, body)
        try:
            return self._commit(call, client, Trip(), dialect_of(ask.path), judge=False)
        except Unreached as problem:
            raise _unavailable(self._lemonade_url) from problem

    # -- the first event

    def _commit(
        self,
        call: Call,
        client: Client,
        trip: Trip,
        dialect: Dialect,
        judge: bool = True,
        stranger: Callable[[str], bool] = nobody,
    ) -> Answer:
        """Wait for the head and, if it can tell a lost model, for the first event; the client may leave meanwhile."""
        forget = client.on_gone(call.abort)
        reply: Reply | None = None
        try:
            reply = call.reply()
            body = iter(reply.chunks())
            head = _first(reply, body, stranger if trip.path == "direct" else nobody) if judge else b""
            reply, head, body = refusal.told(reply, head, body, dialect)
            answer = Answer(reply, head, body, trip)
        except BaseException as problem:
            forget()
            if reply is not None:
                reply.close()
            if judge and isinstance(problem, Broken) and not isinstance(problem, Garbled):
                raise ModelGone(str(problem)) from problem
            if isinstance(problem, Aborted | Broken | Silent):
                raise _failure(problem) from problem
            raise
        answer.on_close(forget)
        return answer


def _trip(want: Want, queue_s: float, load_s: float, replayed: bool) -> Trip:
    return Trip(
        slot=want.asked.name if want.asked else "",
        model=want.model,
        route="slot" if want.slot else "fallback",
        queue_ms=round(queue_s * 1000),
        load_ms=round(load_s * 1000),
        replayed=replayed,
    )


def _in_vain(ask: Ask, want: Want, queue_s: float, load_s: float, replayed: bool) -> Callable[[float, float], None]:
    """How to tell of one more wait, which ends without a lease."""
    return lambda queued_s, loading_s: ask.told(
        _trip(want, queue_s + queued_s, load_s + loading_s, replayed)._replace(path="")
    )


def _body(ask: Ask, model: str) -> tuple[bytes | Iterable[bytes] | None, int | None]:
    """The request's body and its length, its `model` set to what the target calls it; untouched when it says so."""
    if isinstance(ask.body, Upload):
        if ask.body.spent:
            message = f"'{model}' vanished in the middle of the upload; send it again"
            raise errors.error("model.gone", message, retry_after=1)
        form = ask.body if ask.body.model == model else ask.body.named(model)
        return form, form.length
    if not isinstance(ask.body, JsonBody):
        return ask.body, ask.length
    return (ask.body.raw if ask.payload.get("model") == model else ask.body.renamed(model)), None


def _first(reply: Reply, body: Iterator[bytes], stranger: Callable[[str], bool]) -> bytes:
    """The bytes up to and with the first event (of JSON: the body up to a bound).

    Raises ModelGone when they tell that the model is not there, or that a `stranger` has answered.
    """
    read = b""
    if reply.status >= 400:
        while len(read) < FIRST_EVENT_BYTES and (piece := next(body, b"")):
            read += piece
        _judge(read.decode("utf-8", "replace"), reply.status)
    elif http_headers.is_stream(reply.headers):
        while (told := sse.first_data(read)) is None and len(read) < FIRST_EVENT_BYTES:
            piece = next(body, b"")
            if not piece:
                break
            read += piece
        _judge(told or "")
    elif http_headers.value(reply.headers, "content-type").lower().startswith("application/json"):
        while len(read) < FIRST_EVENT_BYTES and (piece := next(body, b"")):
            read += piece
    if stranger is not nobody and (told_by := answered_by(read)) is not None and stranger(told_by):
        raise ModelGone("another model answers at its address")
    return read


def _judge(text: str, status: int = 200) -> None:
    error = sse.failure(text.strip())
    if error is not None and sse.replayable(error):
        raise ModelGone
    if error is not None and backend_error.is_loading(status, error):
        raise NotReady


def _failure(problem: Exception) -> errors.Hal0Error:
    if isinstance(problem, Aborted):
        return errors.error("client.gone", "the client closed its connection")
    code = "upstream.timeout" if isinstance(problem, Silent) else "upstream.protocol"
    return errors.error(code, f"the backend did not answer properly: {problem}")


def _unavailable(url: str) -> errors.Hal0Error:
    return errors.error("lemonade.unavailable", f"Lemonade at {url} does not answer. Is lemond running?", retry_after=5)
