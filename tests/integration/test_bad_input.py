"""Bad input gets a clear 4xx that says what to do, and changes nothing."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.integration.conftest import SLOTS
from tests.support.app import App, hal0
from tests.support.engines import Engine

CHAT = {"model": "primary", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture(scope="module", params=["fast", "flask"])
def app(request: pytest.FixtureRequest, tiny: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """In both lanes."""
    home = tmp_path_factory.mktemp("home")
    (home / "etc").mkdir()
    (home / "etc" / "hal0.toml").write_text(f"[server]\nfast_lane = {'true' if request.param == 'fast' else 'false'}\n")
    with hal0(tiny.url, SLOTS, home) as running:
        yield running


def definitions(app: App) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted((app.home / "etc" / "slots").iterdir())}


def post_raw(app: App, path: str, body: bytes, content_type: str = "application/json") -> requests.Response:
    return requests.post(app.url + path, data=body, headers={"Content-Type": content_type}, timeout=30)


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"{", "request.invalid_json", "line 1, column 2"),
        (b"", "request.invalid_json", "not valid JSON"),
        (b"[1]", "request.invalid_json", "must be a JSON object"),
        (b"\xff\xfe", "request.invalid_json", "not valid JSON"),
        (b'{"a":' + b"[" * 100_000, "request.invalid_json", "nested too deeply"),
        (json.dumps({**CHAT, "model": 5}).encode(), "request.invalid_field", "'model' must be a string"),
        (json.dumps({"model": "primary"}).encode(), "request.missing_field", "'messages'"),
        (json.dumps({**CHAT, "messages": []}).encode(), "request.missing_field", "'messages'"),
    ],
    ids=["cut", "empty", "list", "not text", "deep", "model type", "no messages", "empty messages"],
)
def test_a_chat_that_makes_no_sense_is_refused(app: App, body: bytes, code: str, says: str) -> None:
    answer = post_raw(app, "/v1/chat/completions", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (400, code, "invalid_request_error")
    assert says in error["message"]
    assert set(error) == {"message", "type", "code", "param"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "says"),
    [
        ("embeddings", {"model": "primary", "input": "x"}, 400, "model.type_mismatch", "slots that fit: embed"),
        ("chat/completions", {**CHAT, "model": "embed-a"}, 400, "model.type_mismatch", "embed"),
        ("chat/completions", {**CHAT, "model": "nobody"}, 404, "dispatch.no_route", "chat-a"),
        ("chat/completions", {**CHAT, "model": "../primary"}, 404, "dispatch.no_route", "../primary"),
        ("chat/completions", {**CHAT, "model": "empty"}, 409, "slot.no_model", "slots edit empty model=MODEL"),
        ("rerank", {"query": "a", "documents": ["b"]}, 400, "request.missing_field", "no slot is the default"),
    ],
)
def test_a_request_that_nothing_can_serve_is_refused(
    app: App, path: str, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    answer = app.post(f"/v1/{path}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert says in answer.json()["error"]["message"]


def test_a_number_beyond_reach_is_no_fault_of_hal0s(app: App) -> None:
    raw = json.dumps({**CHAT, "max_tokens": 1})[:-1].encode() + b', "temperature": 1e400}'
    assert post_raw(app, "/v1/chat/completions", raw).status_code < 500


def test_a_body_that_is_too_large_is_refused_unread(app: App) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("definition", "status", "code", "says"),
    [
        ({"name": "../evil", "type": "llm"}, 400, "slot.invalid", "lower-case letters"),
        ({"name": "a/b", "type": "llm"}, 400, "slot.invalid", "lower-case letters"),
        ({"name": "new\n", "type": "llm"}, 400, "slot.invalid", "lower-case letters"),
        ({"name": "n" * 33, "type": "llm"}, 400, "slot.invalid", "at most 32"),
        ({"type": "llm"}, 400, "slot.invalid", "'name'"),
        ({"name": "primary", "type": "llm"}, 409, "slot.exists", "PATCH"),
        ({"name": "new"}, 400, "slot.invalid", "'type' is required"),
        ({"name": "new", "type": "chat"}, 400, "slot.invalid", "'type'"),
        ({"name": "new", "type": "llm", "modle": "x"}, 400, "slot.invalid", "did you mean 'model'"),
        ({"name": "new", "type": "llm", "port": 99999}, 400, "slot.invalid", "'port'"),
        ({"name": "new", "type": "llm", "enabled": "yes"}, 400, "slot.invalid", "'enabled'"),
        ({"name": "new", "type": "llm", "llamacpp_args": "--port 1"}, 400, "slot.invalid", "--port"),
        (
            {"name": "new", "type": "llm", "model": "chat-a", "ctx_size": 64},
            409,
            "slot.model_conflict",
            "options (ctx_size not set)",
        ),
    ],
)
def test_a_slot_that_breaks_the_schema_is_not_written(
    app: App, definition: dict[str, Any], status: int, code: str, says: str
) -> None:
    before = definitions(app)
    answer = app.post("/api/slots", definition)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert says in answer.json()["error"]["message"]
    assert definitions(app) == before
    assert not list(app.home.rglob("evil*"))


def test_a_form_or_text_cannot_change_slots(app: App) -> None:
    body = json.dumps({"name": "new", "type": "llm"}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert post_raw(app, "/api/slots", body, kind).status_code == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_a_page_of_another_site_can_change_nothing(app: App, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/api/slots"), ("POST", "/v1/chat/completions"), ("DELETE", "/api/slots/second")):
        answer = requests.request(method, app.url + path, json=CHAT, headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "request.forbidden_origin")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("halo.local", 200),
        ("[::1]:8080", 200),
        ("192.168.1.5", 200),
        ("LOCALHOST:99", 200),
    ],
)
def test_only_names_of_this_network_are_answered(app: App, host: str, status: int) -> None:
    head = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", app.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(f"HTTP/1.1 {status}".encode())


def test_an_address_that_does_not_exist_says_so_in_the_same_shape(app: App) -> None:
    answer = app.get("/api/nothing")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "request.not_found")
    answer = requests.delete(f"{app.url}/api/slots", timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "request.method_not_allowed")


def raw(app: App, request: bytes) -> tuple[str, bytes]:
    """The head and the body of the answer to what no client of ours would send."""
    with socket.create_connection(("127.0.0.1", app.port), timeout=30) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return f"{answer.status}\n{answer.headers}", answer.read()


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (
            f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {'x' * 9000}\r\n",
            431,
            "request.head_too_large",
        ),
        (f"GET /v1/{'x' * 9000} HTTP/1.1\r\n", 414, "request.uri_too_long"),
        ("GET /v1/models HTTP/1.1\r\nno header\r\n", 400, "request.malformed"),
        ("POST /v1/chat/completions HTTP/1.1\r\nExpect: the-best\r\n", 417, "request.expectation_failed"),
        ("POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: x\r\n", 501, "request.unsupported_transfer_coding"),
        ("GET /v1/models/../../internal/config HTTP/1.1\r\n", 404, "request.not_found"),
        ("GET /v1/models/%2e%2e/%2e%2e/internal/config HTTP/1.1\r\n", 404, "request.not_found"),
        ("GET /api/v1/models/./health HTTP/1.1\r\n", 404, "request.not_found"),
        ("POST /v1//chat/completions HTTP/1.1\r\nContent-Length: 0\r\n", 404, "request.not_found"),
        ("TRACE /v1/health HTTP/1.1\r\n", 405, "request.method_not_allowed"),
    ],
    ids=[
        "long-key",
        "long-address",
        "no-header",
        "expects",
        "transfers",
        "dots",
        "packed-dots",
        "dot",
        "two-slashes",
        "trace",
    ],
)
def test_what_is_no_request_for_v1_is_refused_in_the_shape_of_v1(
    app: App, request_head: str, status: int, code: str
) -> None:
    head, body = raw(app, f"{request_head}Host: localhost\r\nConnection: close\r\n\r\n".encode())
    assert head.startswith(str(status)), head
    assert json.loads(body)["error"]["code"] == code
    assert "X-Request-Id: " in head
    if status == 405:
        assert "Allow: GET, HEAD, OPTIONS" in head


def test_a_name_that_is_too_long_is_nobodys(app: App) -> None:
    answer = app.post("/v1/chat/completions", {**CHAT, "model": "x" * 2000})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_a_refusal_says_which_slot_it_was_for(app: App) -> None:
    answer = app.post("/v1/chat/completions", {**CHAT, "model": "empty"})
    assert answer.status_code == 409
    assert (answer.headers["X-Hal0-Slot"], answer.headers["X-Hal0-Route"]) == ("empty", "slot")


def test_a_clients_name_is_read_as_utf_8(app: App) -> None:
    headers = {"X-hal0-Agent": "Jürgen".encode().decode("latin-1"), "X-Request-Id": "req-juergen"}
    requests.post(f"{app.url}/v1/chat/completions", json={**CHAT, "model": "nobody"}, headers=headers, timeout=60)
    kept = app.get("/api/requests?limit=5").json()
    assert "Jürgen" in str(kept)
