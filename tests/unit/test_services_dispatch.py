"""services/dispatch: where a request goes, what is replayed and what is not, and what a client is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from hal0app.core.endpoints import BY_NAME
from hal0app.core.headers import value
from hal0app.core.json_body import JsonBody, read
from hal0app.core.residency import Link
from hal0app.core.slot import Broken
from hal0app.core.upstream import Aborted, Garbled, Silent, Unheard, Unreached
from hal0app.core.upstream import Broken as BrokenOff
from hal0app.errors import Hal0Error
from hal0app.services import dispatch, pulls
from hal0app.services.answer import Answer, Trip
from hal0app.services.ask import Ask
from hal0app.services.control import Want
from hal0app.services.lease import Lease, Moved
from hal0app.services.upload import KEPT_BYTES, Upload
from tests.support.waiting import eventually
from tests.unit.fakes import LEMOND, Asking, FakeCall, FakeClient, FakeReply, House, resident, slot

STREAM = "text/event-stream"
GONE = b'data: {"error": {"type": "model_not_loaded", "message": "gone"}}\n\n'
EVENT = b'data: {"choices": []}\n\n'
OF_OPENAI = b'{"error": {"type": "invalid_request_error", "message": "x", "code": null, "param": null}}'
NO_TOOLS = b'{"error": {"code": 500, "message": "Failed to parse tools: x", "type": "server_error"}}'
TOO_LONG = b'data: {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}}\n\n'
LOST = b'{"error": {"type": "backend_error", "message": "reset", "details": {"code": "backend_unavailable"}}}'


@pytest.fixture
def house() -> Iterator[House]:
    made = House(
        slot("primary", "m", default=True),
        slot("through", "n", path="lemond"),
        slot("embed", "e", type="embedding"),
        slot("off", "x", enabled=False),
        slot("empty", None),
        Broken("bad", "broken"),
        models=[
            *({"id": one} for one in ("m", "n", "o")),
            {"id": "e", "labels": ["embeddings"]},
            {"id": "far", "downloaded": False},
        ],
    )
    for model in ("m", "n", "o", "e"):
        made.lemond.put(model)
    with made.running():
        yield made


def request(payload: dict[str, Any] | None = None) -> Ask:
    payload = {"messages": ["hi"], **(payload or {})}
    return Ask("POST", "chat/completions", [("X-A", "1"), ("Host", "x")], read(json.dumps(payload).encode()), payload)


def serve(house: House, model: str = "primary", *, path: str = "chat/completions", client: Any = None) -> Answer:
    return house.dispatch.serve(BY_NAME[path], request({"model": model}), client or FakeClient())


def refused(house: House, model: str, **how: Any) -> Hal0Error:
    with pytest.raises(Hal0Error) as problem:
        serve(house, model, **how)
    return problem.value


def test_a_refusal_tells_its_slot_by_whatever_name_it_was_asked_for(house: House) -> None:
    trips: list[Trip] = []
    house.folder.put(slot("primary", "m", enabled=False))
    house.look()
    for name in ("primary", "hal0/primary"):
        with pytest.raises(Hal0Error):
            house.dispatch.serve(
                BY_NAME["chat/completions"], replace(request({"model": name}), told=trips.append), FakeClient()
            )
    assert [(one.slot, one.route, one.path) for one in trips] == [("primary", "slot", "")] * 2


def explained(answer: Answer) -> dict[str, str]:
    return {name[7:]: told for name, told in answer.headers if name.startswith("X-Hal0-")}


# -- where it goes


def test_a_slots_request_goes_straight_to_its_backend_with_the_models_own_name(house: House) -> None:
    house.upstream.script = [FakeReply(200, "application/json", b"{", b"}")]
    answer = serve(house)
    ((base, method, path, headers, body),) = house.upstream.sent
    assert (base, method, path) == (house.lemond.held["m"].backend_url, "POST", "/chat/completions")
    assert headers == [("X-A", "1")]
    assert json.loads(body) == {"messages": ["hi"], "model": "m"}
    told = explained(answer)
    assert (told["Slot"], told["Model"], told["Route"], told["Path"]) == ("primary", "m", "slot", "direct")
    assert "Replayed" not in told
    assert b"".join(answer) == b"{}"
    answer.close()


def test_a_body_that_names_the_model_already_is_not_touched(house: House) -> None:
    sent = request({"model": "m"})
    house.dispatch.serve(BY_NAME["chat/completions"], sent, FakeClient()).close()
    assert isinstance(sent.body, JsonBody)
    assert house.upstream.sent[0][4] is sent.body.raw


def test_values_of_a_body_that_gets_another_model_keep_their_bytes(house: House) -> None:
    raw = b'{"model":"primary","n":1.50e+3,"messages":["\\u00e9"]}'
    house.dispatch.serve(
        BY_NAME["chat/completions"], Ask("POST", "x", [], read(raw), {"model": "primary"}), FakeClient()
    ).close()
    assert house.upstream.sent[0][4] == b'{"model":"m","n":1.50e+3,"messages":["\\u00e9"]}'


@pytest.mark.parametrize(
    ("model", "path"),
    [("through", "chat/completions"), ("primary", "responses"), ("primary", "messages"), ("o", "chat/completions")],
    ids=["a-slot-that-wants-it", "an-endpoint-llama-cpp-lacks", "another-such-endpoint", "a-model-without-a-slot"],
)
def test_these_go_through_lemond(house: House, model: str, path: str) -> None:
    answer = serve(house, model, path=path)
    assert house.upstream.sent[0][:3] == (LEMOND, "POST", f"/v1/{path}")
    assert explained(answer)["Path"] == "lemond"
    answer.close()


@pytest.mark.parametrize("facts", [{"recipe": "flm"}, {"backend_url": ""}], ids=["another-recipe", "no-address"])
def test_a_backend_that_cannot_be_reached_directly_is_reached_through_lemond(house: House, facts: Any) -> None:
    house.lemond.put("m", **facts)
    house.look()
    serve(house).close()
    assert house.upstream.sent[0][0] == LEMOND


def test_no_model_is_the_default_slot(house: House) -> None:
    answer = house.dispatch.serve(BY_NAME["chat/completions"], request(), FakeClient())
    assert explained(answer)["Slot"] == "primary"
    answer.close()


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("off", "slot.disabled"),
        ("empty", "slot.no_model"),
        ("embed", "model.type_mismatch"),
        ("e", "model.type_mismatch"),
        ("unknown", "dispatch.no_route"),
        ("far", "model.not_downloaded"),
        ("bad", "slot.error"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_and_nothing_is_sent(house: House, model: str, code: str) -> None:
    problem = refused(house, model)
    assert (problem.code, problem.param) == (code, "model")
    assert house.upstream.sent == []
    assert house.lemond.calls == []


def test_a_slot_in_error_is_refused_with_its_cause_and_no_hint_to_retry(house: House) -> None:
    house.lemond.drop("m")
    house.look()
    house.lemond.failures["m"] = Hal0Error("lemonade.refused", "bad file")
    assert refused(house, "primary").code == "model.load_failed"
    eventually(lambda: house.state() == "error")
    problem = refused(house, "primary")
    assert (problem.code, problem.retry_after) == ("slot.error", None)
    assert "loading m failed" in problem.message


def test_a_model_no_slot_claims_cannot_be_told_of_while_lemond_is_down(house: House) -> None:
    house.lemond.link = Link.DOWN
    assert refused(house, "never-heard-of").code == "lemonade.unavailable"


def test_a_warm_slot_is_served_while_lemond_is_silent(house: House) -> None:
    house.lemond.link = Link.BUSY
    house.look()
    serve(house).close()
    assert house.upstream.sent[0][0].startswith("http://child")


# -- leases


def test_an_answer_holds_its_lease_until_it_is_closed(house: House) -> None:
    house.upstream.script = [FakeReply(200, "application/json", b"x")]
    answer = serve(house)
    assert house.leases.in_flight("m") == 1
    assert b"".join(answer) == b"x"
    assert house.leases.in_flight("m") == 1
    answer.close()
    answer.close()
    assert house.leases.in_flight("m") == 0


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Silent("late"), "upstream.timeout"),
        (Unheard("takes no connection"), "upstream.unreachable"),
        (Aborted(), "client.gone"),
    ],
    ids=["silent", "unheard", "aborted"],
)
def test_a_request_that_failed_before_its_answer_is_not_replayed_and_gives_its_lease_back(
    house: House, problem: Exception, code: str
) -> None:
    house.upstream.script = [problem]
    assert refused(house, "primary").code == code
    assert len(house.upstream.sent) == 1
    assert house.leases.in_flight("m") == 0
    assert (house.lemond.calls, house.store.evidence) == ([], {}), "nothing tells that the backend has gone"


def test_a_fault_of_our_own_gives_the_lease_back(house: House) -> None:
    house.upstream.script = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        serve(house)
    assert house.leases.in_flight("m") == 0


def test_an_answer_that_cannot_be_closed_gives_its_lease_back(house: House) -> None:
    class Stuck(FakeReply):
        def close(self) -> None:
            raise OSError("reset")

    house.upstream.script = [Stuck()]
    answer = serve(house)
    with suppress(OSError):
        answer.close()
    assert house.leases.in_flight("m") == 0


# -- replays


@pytest.mark.parametrize(
    "first",
    [
        Unreached("refused"),
        BrokenOff("nonsense"),
        FakeReply(200, STREAM, GONE),
        FakeReply(200, STREAM, b": ping\n\n", GONE[:9], GONE[9:]),
        FakeReply(200, STREAM, BrokenOff("cut")),
        FakeReply(404, "application/json", LOST[:20], LOST[20:]),
    ],
    ids=["refused", "nonsense", "first-event-error", "error-in-pieces", "cut-before-an-event", "error-status"],
)
def test_a_model_that_is_gone_is_loaded_and_the_request_sent_again(house: House, first: Any) -> None:
    def lose(_: FakeCall) -> Any:
        house.lemond.drop("m")
        return first

    house.upstream.script = [lose, FakeReply(200, STREAM, EVENT)]
    answer = serve(house)
    assert (answer.status, b"".join(answer), explained(answer)["Replayed"]) == (200, EVENT, "1")
    assert [one[4] for one in house.upstream.sent] == [house.upstream.sent[0][4]] * 2
    assert house.upstream.sent[0][0] != house.upstream.sent[1][0]
    assert ("load", "m") in house.lemond.calls
    answer.close()
    assert house.leases.in_flight("m") == 0


def test_a_slot_that_was_given_another_model_meanwhile_answers_with_that(house: House) -> None:
    def change(_: FakeCall) -> Any:
        house.lemond.drop("m")
        house.folder.put(slot("primary", "o", default=True))
        return Unreached("refused")

    house.upstream.script = [change, FakeReply(200, STREAM, EVENT)]
    answer = serve(house)
    assert (answer.status, explained(answer)["Model"]) == (200, "o")
    answer.close()
    assert house.leases.in_flight("m") == house.leases.in_flight("o") == 0


def timed(house: House, *waited: tuple[float, float] | Exception) -> list[float]:
    """How long each wait for a lease may last; they end after so many seconds for a place and for a load, told by
    `waited`, or with an exception after seven."""
    lease, left = house.control.lease, list(waited)
    allowed: list[float] = []

    def taken(want: Want, wait_s: float, client: Any, caller: Any, in_vain: Callable[[float, float], None]) -> Lease:
        allowed.append(wait_s)
        told = left.pop(0)
        if isinstance(told, Exception):
            in_vain(3.0, 4.0)
            raise told
        found = lease(want, 20, client, caller, in_vain)
        found.queue_s, found.load_s = told
        return found

    house.control.lease = taken  # type: ignore[method-assign]
    return allowed


def test_a_request_that_is_sent_again_waits_no_longer_in_all_than_one_that_is_not(house: House) -> None:
    def lose(_: FakeCall) -> Any:
        house.lemond.drop("m")
        return Unreached("refused")

    allowed = timed(house, (2.0, 90.0), (0.0, 1.0))
    house.upstream.script = [lose, FakeReply()]
    answer = serve(house)
    answer.close()
    assert allowed == [120, 28]
    assert (explained(answer)["Queue-Ms"], explained(answer)["Load-Ms"]) == ("2000", "91000")


def test_a_request_whose_model_was_replaced_while_it_waited_waits_on_and_tells_all_of_it(house: House) -> None:
    allowed = timed(house, Moved("slot.loading", "replaced"), (1.0, 0.0))
    answer = serve(house)
    answer.close()
    assert allowed == [120, 113]
    assert (explained(answer)["Queue-Ms"], explained(answer)["Load-Ms"]) == ("4000", "4000")


def test_a_refused_backend_is_proof_of_a_crash(house: House) -> None:
    def lose(_: FakeCall) -> Any:
        house.lemond.drop("m")
        return Unreached("refused")

    house.upstream.script = [lose, FakeReply()]
    serve(house).close()
    assert ("m", "crashed") in house.store.evidence


def test_an_answer_that_breaks_off_on_its_way_through_lemond_proves_no_crash(house: House) -> None:
    house.upstream.script = [BrokenOff("cut"), FakeReply()]
    serve(house, "through").close()
    assert len(house.upstream.sent) == 2
    assert house.store.evidence == {}


def test_a_backend_that_lemond_still_believes_in_is_loaded_anew(house: House) -> None:
    before = house.lemond.held["m"]
    house.upstream.script = [Unreached("refused"), FakeReply()]
    serve(house).close()
    assert house.lemond.calls == [("unload", "m"), ("load", "m")]
    assert house.upstream.sent[1][0] != before.backend_url


def test_a_model_that_is_gone_twice_is_an_error(house: House) -> None:
    house.upstream.script = [Unreached("refused")]
    problem = refused(house, "primary")
    assert (problem.code, problem.retry_after, len(house.upstream.sent)) == ("model.gone", 5, 2)
    assert house.leases.in_flight("m") == 0


def test_a_lemond_that_refuses_the_connection_is_unavailable_and_not_asked_twice(house: House) -> None:
    house.upstream.script = [Unreached("refused")]
    assert refused(house, "through").code == "lemonade.unavailable"
    assert len(house.upstream.sent) == 1
    assert house.store.evidence == {}


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(400, "application/json", OF_OPENAI),
        FakeReply(200, "application/json", LOST),
        FakeReply(200, STREAM, b": ping\n\n"),
        FakeReply(200, STREAM),
    ],
    ids=["in-shape", "200-with-a-lost-body", "comments-only", "empty-stream"],
)
def test_other_answers_pass_as_they_are(house: House, reply: FakeReply) -> None:
    house.upstream.script = [reply]
    answer = serve(house)
    body = b"".join(answer)
    assert (answer.status, len(house.upstream.sent)) == (reply.status, 1)
    assert body == b"".join(one for one in reply._pieces)
    answer.close()
    assert reply.closed


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (FakeReply(500, "text/plain", b"oo", b"ps"), 500, "upstream.refused"),
        (FakeReply(400, "application/json", b'{"error": "bad"}'), 400, "request.invalid_field"),
        (FakeReply(500, "application/json", NO_TOOLS), 400, "request.invalid_field"),
        (FakeReply(200, STREAM, b": ping\n\n", TOO_LONG), 400, "context_length_exceeded"),
        (FakeReply(200, STREAM, b'data: {"error": {"type": "server_error"}}\n\n'), 500, "upstream.refused"),
    ],
    ids=["no-json", "text", "the-requests-own", "first-event", "bare-event"],
)
@pytest.mark.parametrize("path", ["chat/completions", "messages"])
def test_an_error_of_the_backend_is_told_in_the_dialect_of_the_endpoint(
    house: House, reply: FakeReply, status: int, code: str, path: str
) -> None:
    house.upstream.script = [reply]
    answer = serve(house, path=path)
    body = b"".join(answer)
    told = json.loads(body)
    assert (answer.status, value(answer.headers, "content-length")) == (status, str(len(body)))
    assert value(answer.headers, "content-type") == "application/json"
    if path == "messages":
        assert told["type"] == "error"
        assert told["error"]["message"].startswith(code)
    else:
        assert told["error"]["code"] == code
    answer.close()
    assert reply.closed


def test_an_error_that_comes_compressed_passes_as_it_is(house: House) -> None:
    reply = FakeReply(500, "application/json", b"\x1f\x8b")
    reply.headers.append(("Content-Encoding", "gzip"))
    house.upstream.script = [reply]
    answer = house.dispatch.forward(Ask("GET", "/v1/models/x", []), FakeClient())
    assert b"".join(answer) == b"\x1f\x8b"
    answer.close()


LOADING = b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}'


def test_a_backend_that_still_loads_is_asked_again_until_it_is_ready(house: House) -> None:
    house.upstream.script = [FakeReply(503, "application/json", LOADING)] * 2 + [FakeReply(200, STREAM, EVENT)]
    answer = serve(house)
    assert b"".join(answer) == EVENT
    assert len(house.upstream.sent) == 3
    assert "Replayed" not in explained(answer)
    answer.close()
    assert house.leases.in_flight("m") == 0


def test_a_backend_that_loads_for_too_long_is_a_503_of_ours() -> None:
    house = House(slot("primary", "m", wait_s=0.1))
    house.lemond.put("m")
    house.upstream.script = [FakeReply(503, "application/json", LOADING)]
    with house.running():
        problem = refused(house, "primary")
    assert (problem.code, problem.retry_after) == ("slot.loading", 5)
    assert house.leases.in_flight("m") == 0


def test_a_client_that_leaves_while_the_backend_loads_is_gone(house: House) -> None:
    house.upstream.script = [FakeReply(503, "application/json", LOADING)]
    client = FakeClient()
    asking = Asking(lambda: serve(house, client=client))
    eventually(lambda: house.upstream.sent)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    assert house.leases.in_flight("m") == 0


def test_a_client_that_leaves_before_its_request_is_sent_again_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "SETTLE_S", 600.0)

    def lose(_: FakeCall) -> Any:
        house.lemond.link = Link.SILENT
        return Unreached("refused")

    house.upstream.script = [lose]
    client = FakeClient()
    asking = Asking(lambda: serve(house, client=client))
    eventually(lambda: ("m", "crashed") in house.store.evidence and client.callbacks)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    house.leases.grant(resident("m", 9))
    assert isinstance(house.leases.take(resident("m", 9), "m"), Lease), "nothing is kept for who has left"


# -- ports, aliases, models that are not here


def test_a_request_on_a_slots_port_is_served_by_it_whatever_its_model_says(house: House) -> None:
    for name in ("", "unknown", "through", "bad"):
        ask = replace(request({"model": name}), port_slot="primary")
        answer = house.dispatch.serve(BY_NAME["chat/completions"], ask, FakeClient())
        assert explained(answer)["Slot"] == "primary"
        assert json.loads(house.upstream.sent[-1][4])["model"] == "m"
        answer.close()


def test_a_slot_of_another_type_is_refused_on_its_own_port(house: House) -> None:
    with pytest.raises(Hal0Error) as problem:
        house.dispatch.serve(BY_NAME["embeddings"], replace(request(), port_slot="primary"), FakeClient())
    assert problem.value.code == "model.type_mismatch"


@pytest.mark.parametrize(("alias", "slot_name", "model"), [("gpt", "primary", "m"), ("far-one", "", "o")])
def test_an_alias_is_a_slot_or_a_model(house: House, alias: str, slot_name: str, model: str) -> None:
    house.routes.aliases = {"gpt": "primary", "far-one": "o", "primary": "through"}
    answer = serve(house, alias)
    assert (explained(answer).get("Slot", ""), explained(answer)["Model"]) == (slot_name, model)
    assert json.loads(house.upstream.sent[0][4])["model"] == model
    answer.close()


def test_a_slots_model_by_another_name_of_lemonades_is_the_slots(house: House) -> None:
    house.lemond.rows["user.m"] = house.lemond.rows["m"]
    answer = serve(house, "user.m")
    assert (explained(answer)["Slot"], explained(answer)["Route"]) == ("primary", "slot")
    answer.close()


# -- models that are not here yet


@pytest.fixture
def pulling(house: House) -> House:
    house.routes.implicit_pull = True
    return house


def asking_for_far(house: House, client: FakeClient, **payload: Any) -> Asking:
    """A request for a model that is not here, once its download is under way."""
    ask = request({"model": "far", **payload})
    asking = Asking(lambda: house.dispatch.serve(BY_NAME["messages"], ask, client))
    eventually(lambda: house.downloads.followed("model:far") is not None and client.callbacks)
    return asking


def end(house: House, status: str = "completed", **facts: Any) -> None:
    """The download ends."""
    house.lemond.rows["far"]["downloaded"] = status == "completed"
    house.disk.put("model:far", running=False, status=status, **facts)


def test_a_model_that_is_not_here_is_downloaded_and_then_loaded_by_hal0_where_that_is_allowed(pulling: House) -> None:
    trips: list[Trip] = []
    ask = replace(request({"model": "far"}), told=trips.append)
    asking = Asking(lambda: pulling.dispatch.serve(BY_NAME["chat/completions"], ask, FakeClient()))
    eventually(lambda: pulling.disk.asked == [{"model_name": "far"}])
    assert (pulling.lemond.calls, pulling.upstream.sent) == ([], [])
    end(pulling)
    answer = asking.result()
    assert pulling.lemond.calls == [("load", "far")]
    assert pulling.upstream.sent[0][:3] == (LEMOND, "POST", "/v1/chat/completions")
    assert (explained(answer)["Route"], explained(answer)["Model"]) == ("fallback", "far")
    assert trips[0].load_ms <= trips[-1].load_ms, "the download counts as time for its load"
    answer.close()


def test_a_stream_that_waits_for_a_download_is_told_how_far_it_is(pulling: House) -> None:
    client = FakeClient()
    asking = asking_for_far(pulling, client, stream=True)
    ((words, first_s, every_s),) = client.pulses
    assert (words(), first_s, every_s) == ("hal0 downloading far", 5.0, 5.0)
    pulling.disk.put("model:far", overall_bytes_downloaded=42, total_download_size=100)
    eventually(lambda: words() == "hal0 downloading far 42%")
    end(pulling)
    answer = asking.result()
    assert (client.pulses, answer.endpoint) == ([], "messages")
    answer.close()


def test_all_who_want_a_model_wait_for_one_download_which_goes_on_when_they_leave(pulling: House) -> None:
    leaving, staying = FakeClient(), FakeClient()
    left, stayed = asking_for_far(pulling, leaving), asking_for_far(pulling, staying)
    leaving.leave()
    with pytest.raises(Hal0Error) as problem:
        left.result()
    assert problem.value.code == "client.gone"
    end(pulling)
    stayed.result().close()
    assert pulling.disk.asked == [{"model_name": "far"}]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ("error", "model.pull_failed", "the download of far failed: disk full"),
        ("paused", "model.not_downloaded", "the download of far was paused"),
    ],
)
def test_who_waited_for_a_download_in_vain_is_told_why(pulling: House, status: str, code: str, says: str) -> None:
    asking = asking_for_far(pulling, FakeClient())
    end(pulling, status, error="disk full")
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert (problem.value.code, problem.value.message) == (code, f"'far' is not on this machine: {says}")
    assert pulling.lemond.calls == []


def test_who_waits_for_a_download_of_a_lemond_that_has_gone_is_told(
    pulling: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "LOOK_S", 0.01)
    asking = asking_for_far(pulling, FakeClient())
    pulling.lemond.link = Link.DOWN
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "lemonade.unavailable"


def test_a_download_that_lemond_refuses_is_the_requests_error(pulling: House) -> None:
    pulling.disk.refusal = Hal0Error("lemonade.refused", "offline mode")
    assert refused(pulling, "far").code == "model.pull_failed"


def test_a_client_that_leaves_while_lemond_does_not_answer_is_not_kept(pulling: House) -> None:
    pulling.lemond.pause = threading.Event()
    client = FakeClient()
    asking = Asking(lambda: serve(pulling, "never-heard-of", client=client))
    eventually(lambda: client.callbacks)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    pulling.lemond.pause.set()


# -- uploads


def upload(model: str = "stt", size: int = 10, length: int | None = None) -> tuple[Ask, bytes]:
    """An upload of `size` bytes after its model, and all its bytes."""
    head = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--B\r\n' % model.encode()
    span = (len(head) - len(model) - 7, len(head) - 7)
    rest = [b"x" * size]
    body = Upload(b"B", head, span, iter(rest), len(head) + size if length is None else length)
    return Ask("POST", "audio/transcriptions", [("Content-Length", "7")], body, {"model": model}), head + rest[0]


@pytest.fixture
def hearing(house: House) -> House:
    house.folder.put(slot("stt", "w", type="transcription", default=True))
    house.lemond.rows["w"] = {"id": "w", "labels": ["transcription"], "recipe": "whispercpp"}
    house.lemond.put("w", type="transcription", recipe="whispercpp")
    house.look()
    return house


def test_an_upload_goes_to_lemond_with_the_slots_model_and_the_right_length(hearing: House) -> None:
    ask, whole = upload()
    answer = hearing.dispatch.serve(BY_NAME["audio/transcriptions"], ask, FakeClient())
    ((base, _, path, headers, body),) = hearing.upstream.sent
    sent = b"".join(body)
    assert (base, path) == (LEMOND, "/v1/audio/transcriptions")
    assert sent == whole.replace(b"stt", b"w")
    assert headers == [("Content-Length", str(len(sent)))]
    assert explained(answer)["Slot"] == "stt"
    answer.close()


def test_an_upload_for_a_model_of_another_type_is_refused_before_anything_is_loaded(hearing: House) -> None:
    hearing.lemond.drop("o")
    hearing.look()
    with pytest.raises(Hal0Error) as problem:
        hearing.dispatch.serve(BY_NAME["audio/transcriptions"], upload("o")[0], FakeClient())
    assert (problem.value.code, hearing.lemond.calls) == ("model.type_mismatch", [])
    assert "slots that fit: stt" in problem.value.message


def test_a_short_upload_is_sent_once_more_when_its_model_was_gone(hearing: House) -> None:
    ask, whole = upload()
    bodies: list[bytes] = []

    def take(_: FakeCall) -> FakeReply:
        bodies.append(b"".join(hearing.upstream.sent[-1][4]))
        return FakeReply(404, "application/json", b'{"error": {"type": "model_not_loaded", "message": "gone"}}')

    hearing.upstream.script = [take, FakeReply(200, "application/json", b"{}")]
    answer = hearing.dispatch.serve(BY_NAME["audio/transcriptions"], ask, FakeClient())
    assert b"".join(hearing.upstream.sent[1][4]) == bodies[0] == whole.replace(b"stt", b"w")
    assert explained(answer)["Replayed"] == "1"
    answer.close()


def test_a_long_upload_whose_model_vanished_is_to_be_sent_again_by_its_client(hearing: House) -> None:
    ask, _ = upload(size=KEPT_BYTES + 1)

    def take(_: FakeCall) -> FakeReply:
        b"".join(hearing.upstream.sent[-1][4])
        return FakeReply(404, "application/json", b'{"error": {"type": "model_not_loaded", "message": "gone"}}')

    hearing.upstream.script = [take]
    with pytest.raises(Hal0Error) as problem:
        hearing.dispatch.serve(BY_NAME["audio/transcriptions"], ask, FakeClient())
    assert (problem.value.code, problem.value.retry_after) == ("model.gone", 1)
    assert hearing.leases.in_flight("w") == 0


# -- after the first event


def test_nothing_is_replayed_after_the_first_event(house: House) -> None:
    house.upstream.script = [FakeReply(200, STREAM, EVENT, EVENT, BrokenOff("reset"))]
    answer = serve(house)
    sent = b"".join(answer)
    assert sent.startswith(EVENT + EVENT + b"data: ")
    told = json.loads(sent[len(EVENT + EVENT) + 6 :])
    assert told["error"]["code"] == "upstream.protocol"
    assert b"[DONE]" not in sent
    assert len(house.upstream.sent) == 1
    answer.close()


@pytest.mark.parametrize(
    "pieces",
    [(EVENT, b"data: {", BrokenOff("reset")), (EVENT, EVENT[:-1], Silent("late"))],
    ids=["in-an-event", "one-byte-short"],
)
def test_a_stream_cut_inside_an_event_is_cut_for_the_client_too(house: House, pieces: Any) -> None:
    house.upstream.script = [FakeReply(200, STREAM, *pieces)]
    answer = serve(house)
    with pytest.raises((BrokenOff, Silent)):
        list(answer)
    answer.close()
    assert house.leases.in_flight("m") == 0


def test_a_plain_body_cut_short_is_cut_for_the_client_too(house: House) -> None:
    house.upstream.script = [FakeReply(200, "text/plain", b"some text", BrokenOff("reset"))]
    answer = serve(house)
    with pytest.raises(BrokenOff):
        list(answer)
    answer.close()


def test_what_is_no_http_is_a_fault_of_the_backend_and_no_eviction(house: House) -> None:
    house.upstream.script = [Garbled("no status line")]
    assert refused(house, "primary").code == "upstream.protocol"
    assert (len(house.upstream.sent), house.leases.in_flight("m")) == (1, 0)


def test_json_cut_short_is_asked_for_once_more(house: House) -> None:
    cut = FakeReply(200, "application/json", b'{"a": ', BrokenOff("reset"))
    house.upstream.script = [cut, FakeReply(200, "application/json", b'{"a": 1}')]
    answer = serve(house)
    assert b"".join(answer) == b'{"a": 1}'
    answer.close()


def test_an_answer_of_another_model_at_the_same_address_is_not_given(house: House) -> None:
    house.catalogue.models()
    other = next(one.id for one in house.catalogue.known() if one.id != "m")
    wrong = FakeReply(200, "application/json", b'{"text": "\\"model\\": \\"m\\"", "model": "%s"}' % other.encode())
    house.upstream.script = [wrong, FakeReply(200, "application/json", b'{"model": "m"}')]
    answer = serve(house)
    assert b"".join(answer) == b'{"model": "m"}'
    answer.close()


def test_the_pieces_of_a_stream_pass_byte_for_byte(house: House) -> None:
    pieces = [b": ping\n\n", EVENT[:5], EVENT[5:] + EVENT[:3], EVENT[3:], b"data: [DONE]\n\n"]
    house.upstream.script = [FakeReply(200, STREAM, *pieces)]
    answer = serve(house)
    assert answer.streams
    assert b"".join(answer) == b"".join(pieces)
    answer.close()


# -- the client


@pytest.mark.parametrize(("client", "first"), [(FakeClient(), 5), (FakeClient(begun=True, silent_s=2), 3)])
def test_the_client_of_a_stream_is_told_that_it_waits_until_the_first_event(
    house: House, client: FakeClient, first: float
) -> None:
    seen: list[Any] = []

    def think(_: FakeCall) -> FakeReply:
        seen.extend(client.pulses)
        return FakeReply(200, STREAM, EVENT)

    house.upstream.script = [think]
    house.dispatch.serve(BY_NAME["chat/completions"], request({"model": "primary", "stream": True}), client).close()
    ((words, first_s, every_s),) = seen
    assert words() == "hal0 waiting for primary 0s"
    assert (first_s, every_s) == (first, 5)
    assert client.pulses == []
    serve(house, client=client).close()
    assert len(seen) == 1


def test_a_client_of_a_stream_that_fails_is_told_no_more(house: House) -> None:
    client = FakeClient()
    house.upstream.script = [Silent("late")]
    with pytest.raises(Hal0Error):
        house.dispatch.serve(BY_NAME["chat/completions"], request({"model": "primary", "stream": True}), client)
    assert client.pulses == []


def test_a_client_that_leaves_while_the_backend_thinks_ends_the_call(house: House) -> None:
    client = FakeClient()

    def think(call: FakeCall) -> Any:
        assert call.aborted.wait(20)
        return Aborted()

    house.upstream.script = [think]
    asking = Asking(lambda: serve(house, client=client))
    eventually(lambda: house.upstream.calls and client.callbacks, "the request is under way")
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    assert house.leases.in_flight("m") == 0


def test_a_client_that_leaves_before_the_first_event_ends_the_call(house: House) -> None:
    client = FakeClient()

    def think(call: FakeCall) -> FakeReply:
        return FakeReply(200, STREAM, lambda: Aborted() if call.aborted.wait(20) else EVENT)

    house.upstream.script = [think]
    asking = Asking(lambda: serve(house, client=client))
    eventually(lambda: house.upstream.calls and client.callbacks, "the request is under way")
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    assert house.leases.in_flight("m") == 0


def test_a_client_that_leaves_in_the_middle_of_the_answer_ends_the_call(house: House) -> None:
    client = FakeClient()
    house.upstream.script = [FakeReply(200, STREAM, EVENT, EVENT)]
    answer = serve(house, client=client)
    client.leave()
    assert house.upstream.calls[0].aborted.is_set()
    answer.close()


def test_a_client_is_watched_no_more_once_its_answer_is_closed(house: House) -> None:
    client = FakeClient()
    serve(house, client=client).close()
    assert client.callbacks == []


def test_a_client_that_leaves_while_the_model_loads_is_gone(house: House) -> None:
    house.lemond.drop("m")
    house.look()
    house.lemond.gate.clear()
    client = FakeClient()
    asking = Asking(lambda: serve(house, client=client))
    eventually(lambda: house.leases.waiting("m") and client.callbacks)
    client.leave()
    with pytest.raises(Hal0Error) as problem:
        asking.result()
    assert problem.value.code == "client.gone"
    assert house.upstream.sent == []


# -- what falls through


def test_another_request_passes_to_lemond_as_it_came(house: House) -> None:
    house.upstream.script = [FakeReply(200, "application/json", b"x", b"y")]
    body = iter([b"a"])
    ask = Ask("POST", "/v1/audio/speech?x=1", [("Content-Length", "9"), ("X-A", "1"), ("Origin", "o")], body, length=1)
    answer = house.dispatch.forward(ask, FakeClient())
    assert house.upstream.sent == [
        (LEMOND, "POST", "/v1/audio/speech?x=1", [("X-A", "1"), ("Content-Length", "1")], body)
    ]
    assert b"".join(answer) == b"xy"
    assert (value(answer.headers, "x-hal0-route"), value(answer.headers, "x-hal0-path")) == ("fallback", "lemond")
    answer.close()


def test_what_falls_through_is_not_judged_by_its_first_event(house: House) -> None:
    house.upstream.script = [FakeReply(200, STREAM, GONE)]
    answer = house.dispatch.forward(Ask("GET", "/v1/stats", []), FakeClient())
    assert b"".join(answer) == GONE
    answer.close()


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Unreached("refused"), "lemonade.unavailable"),
        (Unheard("late"), "lemonade.unavailable"),
        (BrokenOff("x"), "upstream.protocol"),
        (Silent("x"), "upstream.timeout"),
        (Aborted(), "client.gone"),
    ],
    ids=lambda told: type(told).__name__ if isinstance(told, Exception) else None,
)
def test_what_falls_through_and_fails_is_told_and_never_sent_twice(house: House, problem: Exception, code: str) -> None:
    house.upstream.script = [problem]
    with pytest.raises(Hal0Error) as told:
        house.dispatch.forward(Ask("GET", "/v1/stats", []), FakeClient())
    assert (told.value.code, len(house.upstream.sent)) == (code, 1)
