"""adapters/lemonade: control calls, and lemond's six shapes of an error (lemonade-contract.md section 4)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from hal0app import errors
from hal0app.adapters.lemonade import LemonadeClient
from hal0app.adapters.lemonade_library import LemonadeLibrary

URL = "http://lemond:13305"
RECORDED = Path(__file__).resolve().parents[1] / "data" / "lemond"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as made:
        yield made


@pytest.fixture
def client() -> LemonadeClient:
    return LemonadeClient(URL + "/", key="secret")


def recorded(wire: responses.RequestsMock, name: str, path: str, method: str = "POST") -> Any:
    answer = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    body = answer["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    wire.add(method, URL + path, body=text, status=answer["status"], content_type="application/json")
    return body


SHAPES = [
    ("A", {"error": "Model not loaded: x"}, "Model not loaded: x", None),
    (
        "B",
        {"error": {"message": "no", "type": "model_load_error", "param": "model", "code": "model_load_error"}},
        "no",
        "model_load_error",
    ),
    ("B-409", {"error": {"message": "pins", "type": "t", "code": "slots_pinned_error"}}, "pins", "slots_pinned_error"),
    ("C", {"error": {"message": "gone", "type": "model_not_loaded"}}, "gone", "model_not_loaded"),
    (
        "C-details",
        {"error": {"message": "gone", "type": "backend_error", "details": {"code": "backend_unavailable"}}},
        "gone",
        "backend_error",
    ),
    ("D", {"error": {"message": "Not here", "type": "not_found", "path": "/v1/x"}}, "Not here", "not_found"),
    ("E", {"error": "model 'x' not found, try pulling it first"}, "model 'x' not found, try pulling it first", None),
    ("F", {"type": "error", "error": {"type": "not_found_error", "message": "nope"}}, "nope", "not_found_error"),
    ("empty-object", {}, "Lemonade answered 500", None),
    ("empty-error", {"error": ""}, "Lemonade answered 500", None),
    ("null-error", {"error": None}, "Lemonade answered 500", None),
    ("error-without-message", {"error": {"type": "x"}}, "Lemonade answered 500", "x"),
    ("number", {"error": 5}, "5", None),
    ("list", [1], "Lemonade answered 500", None),
    ("text", "oops", "Lemonade answered 500", None),
    ("null", None, "Lemonade answered 500", None),
]


@pytest.mark.parametrize(("body", "text", "kind"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_every_shape_of_an_error_becomes_one(
    client: LemonadeClient, wire: responses.RequestsMock, body: Any, text: str, kind: str | None
) -> None:
    wire.post(f"{URL}/v1/load", json=body, status=500)
    with pytest.raises(errors.LemonadeError) as problem:
        client.load({"model_name": "m"})
    assert (problem.value.code, problem.value.message) == ("lemonade.refused", text)
    assert problem.value.details == {"upstream_status": 500, "upstream_type": kind}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff\xfe", b"[" * 50])
def test_an_error_that_is_not_json_is_told_by_its_status(
    client: LemonadeClient, wire: responses.RequestsMock, body: bytes
) -> None:
    wire.post(f"{URL}/v1/load", body=body, status=502)
    with pytest.raises(errors.LemonadeError, match="Lemonade answered 502"):
        client.load({"model_name": "m"})


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("b14_load_bad_args", 500, "model_load_error"),
        ("e02_load_broken_gguf", 500, "model_load_error"),
        ("f08_load_all_pinned", 409, "slots_pinned_error"),
        ("b02_load_no_name", 400, "invalid_request"),
    ],
)
def test_what_lemond_said_of_a_failed_load_is_kept(
    client: LemonadeClient, wire: responses.RequestsMock, name: str, status: int, kind: str | None
) -> None:
    said = recorded(wire, name, "/v1/load")["error"]
    with pytest.raises(errors.LemonadeError) as problem:
        client.load({"model_name": "m"})
    assert problem.value.details == {"upstream_status": status, "upstream_type": kind}
    assert problem.value.message == (said if isinstance(said, str) else said["message"])


def test_a_load_sends_its_body_and_the_key(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    recorded(wire, "b11_load_again_noop", "/v1/load")
    client.load({"model_name": "m", "pinned": True})
    (call,) = wire.calls
    assert json.loads(call.request.body or b"") == {"model_name": "m", "pinned": True}
    assert call.request.headers["Authorization"] == "Bearer secret"


def test_without_a_key_none_is_sent(wire: responses.RequestsMock) -> None:
    wire.post(f"{URL}/v1/load", json={})
    LemonadeClient(URL).load({"model_name": "m"})
    assert "Authorization" not in wire.calls[0].request.headers


def test_an_unload_names_the_model(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    recorded(wire, "f12_unload_pinned", "/v1/unload")
    assert client.unload("m")
    assert json.loads(wire.calls[0].request.body or b"") == {"model_name": "m"}


def test_an_unload_of_what_is_not_loaded_is_no_error(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    recorded(wire, "f13_unload_not_loaded", "/v1/unload")
    assert client.unload("m") is False


def test_an_unload_without_a_name_is_never_sent(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    with pytest.raises(ValueError, match="every model"):
        client.unload("")
    assert len(wire.calls) == 0


def test_an_unload_that_failed_is_an_error(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    wire.post(f"{URL}/v1/unload", json={"error": "busy"}, status=500)
    with pytest.raises(errors.LemonadeError, match="busy"):
        client.unload("m")


@pytest.mark.parametrize(
    "problem",
    [
        requests.ConnectionError("refused"),
        requests.ReadTimeout("late"),
        requests.ConnectTimeout("late"),
        requests.exceptions.ChunkedEncodingError("cut"),
        requests.TooManyRedirects("round"),
    ],
    ids=lambda problem: type(problem).__name__,
)
@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.load({"model_name": "m"}),
        lambda client: client.unload("m"),
        lambda client: client.models(),
        lambda client: client.model("m"),
        lambda client: client.installed_backends("llamacpp"),
    ],
    ids=["load", "unload", "models", "model", "backends"],
)
def test_a_lemond_that_does_not_answer_is_unavailable(
    client: LemonadeClient, wire: responses.RequestsMock, act: Any, problem: Exception
) -> None:
    for method, path in (
        ("POST", "load"),
        ("POST", "unload"),
        ("GET", "models"),
        ("GET", "models/m"),
        ("GET", "system-info"),
    ):
        wire.add(method, f"{URL}/v1/{path}", body=problem)
    with pytest.raises(errors.LemonadeError) as told:
        act(client)
    assert (told.value.code, told.value.status, told.value.retry_after) == ("lemonade.unavailable", 503, 5)


def test_rows_without_an_id_are_no_models(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/v1/models", json={"data": [{"id": "m"}, {}, {"id": ""}, {"id": None}, "x", None]})
    assert client.models() == [{"id": "m"}]


def test_downloads_that_lemond_cannot_tell_of_now_have_not_vanished(wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/v1/downloads", status=500, json={"error": "busy"})
    with pytest.raises(errors.LemonadeError, match="busy"):
        LemonadeLibrary(URL).downloads()
    wire.replace("GET", f"{URL}/v1/downloads", status=404)
    assert LemonadeLibrary(URL).downloads() == []


def test_a_model_is_asked_for_by_its_id_as_it_is(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/v1/models/user.a%2Fb%20c%3F%23%C3%BC", json={"id": "user.a/b c?#ü"})
    assert client.model("user.a/b c?#ü") == {"id": "user.a/b c?#ü"}


@pytest.mark.parametrize("name", ["a08_model_by_id", "a08_model_by_id_user"])
def test_a_model_as_lemond_lists_it_is_returned(
    client: LemonadeClient, wire: responses.RequestsMock, name: str
) -> None:
    row = recorded(wire, name, "/v1/models/m", "GET")
    assert client.model("m") == row


def test_a_model_lemond_does_not_know_is_none(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/v1/models/m", json={"error": {"message": "x", "code": "model_not_found"}}, status=404)
    assert client.model("m") is None


def test_the_backends_that_are_ready_are_those_lemond_calls_installed(
    client: LemonadeClient, wire: responses.RequestsMock
) -> None:
    states = {
        "cpu": {"state": "installed"},
        "vulkan": {"state": "update_available"},
        "rocm": {"state": "installable"},
        "cuda": {"state": "unsupported"},
        "system": {"state": "update_required"},
        "x": {},
    }
    wire.get(f"{URL}/v1/system-info", json={"recipes": {"llamacpp": {"backends": states}}})
    assert client.installed_backends("llamacpp") == {"cpu", "vulkan"}
    assert client.installed_backends("flm") == frozenset()


def test_the_backends_of_a_real_host_are_read(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    recorded(wire, "a13_system_info", "/v1/system-info", "GET")
    assert client.installed_backends("llamacpp") <= {"cpu", "vulkan", "rocm", "cuda", "metal", "system"}


def test_a_null_in_place_of_a_list_is_an_empty_one(client: LemonadeClient, wire: responses.RequestsMock) -> None:
    wire.get(f"{URL}/v1/models", json={"data": None})
    wire.get(f"{URL}/v1/system-info", json={"recipes": None})
    assert client.models() == []
    assert client.installed_backends("llamacpp") == frozenset()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"<html>"])
def test_an_answer_that_says_nothing_is_nothing(
    client: LemonadeClient, wire: responses.RequestsMock, body: bytes
) -> None:
    for path in ("models", "system-info", "models/m"):
        wire.get(f"{URL}/v1/{path}", body=body)
    assert client.models() == []
    assert client.installed_backends("llamacpp") == frozenset()
    assert client.model("m") == {}


def test_a_call_leaves_no_connection_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(20)
        client = LemonadeClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        call = pool.submit(client.config)
        with listener.accept()[0] as peer:
            peer.settimeout(20)
            asked = peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            assert call.result(20) == {}
            assert asked.startswith(b"GET /internal/config ")
            assert peer.recv(1) == b""
