"""The whole surface of `/v1` over real sockets: every endpoint by a slot, aliases, ports, refusals, odd clients."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import models
from tests.support.app import App, hal0, write_slots
from tests.support.engines import Engine, default_user_models, embedded_engine, free_port, user_model
from tests.support.waiting import eventually

SLOTS = {
    "primary": {"type": "llm", "model": "chat-a", "default": True, "ctx_size": 4096},
    "embed": {"type": "embedding", "model": "embed-a", "default": True},
    "stt": {"type": "transcription", "model": "whisper", "default": True},
    "tts": {"type": "tts", "model": "kokoro", "default": True},
    "img": {"type": "image", "model": "sd", "default": True},
}
SETTINGS = """
[alias]
"gpt-4o" = "primary"
"org/vectors" = "embed-a"
"whisper-1" = "hal0/stt"
"ghost" = "nowhere"
"""
SPEAK = Path(__file__).resolve().parents[2] / "ansible/roles/verify/files/speak.py"
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


def simulated(label: str) -> dict[str, Any]:
    return {"checkpoint": "", "source": "local_path", "recipe": "flm", "labels": [label], "suggested": True}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    media = {"whisper": simulated("transcription"), "kokoro": simulated("tts"), "sd": simulated("image")}
    with embedded_engine(user_models={**default_user_models(), **media}, simulate_flm=True, chaos=True) as running:
        yield running


@pytest.fixture(scope="module", params=["fast", "flask"])
def app(request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """In both lanes."""
    home = tmp_path_factory.mktemp("home")
    (home / "etc").mkdir()
    lane = f"[server]\nfast_lane = {'true' if request.param == 'fast' else 'false'}\n"
    (home / "etc" / "hal0.toml").write_text(lane + SETTINGS)
    with hal0(engine.url, SLOTS, home) as running:
        yield running


def form(
    app: App, path: str, model: str | None, size: int = 200_000, model_last: bool = False, several: bool = False
) -> requests.Response:
    """An upload whose field `model` comes before the file or after it; `several`: named as one of many."""
    called = "image" if path.startswith("images/") else "file"
    file = (called + "[]" * several, ("a.wav", b"\r\n--" + b"R" * size, "audio/wav"))
    named = [("model", (None, model))] if model is not None else []
    parts: list[Any] = [file, *named] if model_last else [*named, file]
    return requests.post(f"{app.url}/v1/{path}", files=parts, timeout=120)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# -- every type of slot


@pytest.mark.parametrize("model", ["stt", "hal0/stt", "whisper", "whisper-1", "", None])
@pytest.mark.parametrize("model_last", [False, True])
def test_a_transcription_is_served_by_its_slot(app: App, model: str | None, model_last: bool) -> None:
    answer = form(app, "audio/transcriptions", model, model_last=model_last)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "whisper"
    assert answer.headers["X-Hal0-Slot"] == "stt"


def test_what_the_installer_asks_of_a_slot_that_transcribes_is_answered(app: App) -> None:
    def speak(slot: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", SPEAK, app.url, slot, "60"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = speak("stt")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("answered in ")
    refused = speak("embed")
    assert refused.returncode == 1
    assert refused.stdout.startswith("FAILED: ")


def test_an_upload_of_a_client_that_does_not_know_its_length_is_served(app: App) -> None:
    body = requests.Request("POST", app.url, files={"model": (None, "stt"), "file": ("a", b"x" * 300_000)}).prepare()
    assert isinstance(body.body, bytes)
    pieces = (body.body[at : at + 50_000] for at in range(0, len(body.body), 50_000))
    headers = {"Content-Type": body.headers["Content-Type"]}
    answer = requests.post(f"{app.url}/v1/audio/transcriptions", data=pieces, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["model"]) == (200, "whisper"), answer.text


@pytest.mark.parametrize(
    ("path", "body", "slot", "model"),
    [
        ("audio/speech", {"input": "hello", "voice": "x"}, "tts", "kokoro"),
        ("images/generations", {"prompt": "a cat"}, "img", "sd"),
    ],
)
def test_speech_and_images_are_served_by_their_slots(app: App, path: str, body: Any, slot: str, model: str) -> None:
    for name in (slot, model, ""):
        answer = app.post(f"/v1/{path}", {**body, "model": name})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model"], answer.headers["X-Hal0-Slot"]) == (model, slot)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("path", ["images/edits", "images/variations"])
def test_images_are_changed_by_their_slot(app: App, path: str, several: bool) -> None:
    answer = form(app, path, "img", several=several)
    assert (answer.status_code, answer.json()["model"]) == (200, "sd"), answer.text


def test_an_alias_is_served_by_what_it_means(app: App) -> None:
    assert app.chat("gpt-4o").headers["X-Hal0-Slot"] == "primary"
    answer = app.post("/v1/embeddings", {"model": "org/vectors", "input": "x"})
    assert (answer.headers["X-Hal0-Slot"], answer.json()["model"]) == ("embed", "embed-a")
    assert app.get("/v1/models/gpt-4o").json()["id"] == "primary"
    assert app.get("/v1/models/org/vectors").json()["id"] == "embed-a"


# -- refusals before anything is loaded


def refused_without_a_load(engine: Engine, ask: Callable[[], requests.Response]) -> tuple[int, str]:
    before = set(engine.residents())
    told = code(ask())
    assert set(engine.residents()) == before
    return told


@pytest.mark.parametrize("path", ["audio/transcriptions", "audio/translations", "images/edits"])
def test_an_upload_for_a_model_of_another_type_loads_nothing(app: App, engine: Engine, path: str) -> None:
    for model in ("primary", "chat-c", "embed-a"):
        told = refused_without_a_load(engine, lambda model=model: form(app, path, model))  # type: ignore[misc]
        assert told == (400, "model.type_mismatch")


FIELDS = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nstt\r\n'
OTHER = FIELDS + b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nx\r\n--x--\r\n'


@pytest.mark.parametrize(
    "body", [FIELDS + b"--x--\r\n", OTHER, FIELDS, b"no form", b""], ids=["whole", "other", "cut", "none", "nothing"]
)
def test_a_form_without_its_file_loads_nothing(app: App, engine: Engine, body: bytes) -> None:
    url, headers = f"{app.url}/v1/audio/transcriptions", {"Content-Type": "multipart/form-data; boundary=x"}
    told = refused_without_a_load(engine, lambda: requests.post(url, data=body, headers=headers, timeout=60))
    assert told == (400, "request.missing_field")


@pytest.mark.parametrize("path", ["audio/speech", "images/generations", "images/upscale", "classify", "3d/generations"])
def test_a_request_for_a_model_of_another_type_loads_nothing(app: App, engine: Engine, path: str) -> None:
    body = {"model": "chat-c", "input": "x", "prompt": "x"}
    assert refused_without_a_load(engine, lambda: app.post(f"/v1/{path}", body)) == (400, "model.type_mismatch")


def test_an_alias_of_nothing_is_told_by_both_names(app: App) -> None:
    answer = app.chat("ghost")
    assert code(answer) == (404, "dispatch.no_route")
    assert "'nowhere', which 'ghost' stands for" in answer.json()["error"]["message"]


def test_a_model_that_is_not_on_this_machine_is_refused_with_how_to_get_it(app: App, engine: Engine) -> None:
    told = refused_without_a_load(engine, lambda: app.chat("missing-a"))
    assert told == (409, "model.not_downloaded")
    assert "hal0 models pull missing-a" in app.chat("missing-a").json()["error"]["message"]


def test_where_it_is_allowed_a_model_is_downloaded_and_loaded_for_the_client_that_waits(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hal0.toml").write_text("[dispatch]\nallow_implicit_pull = true\nheartbeat_s = 1\n")
    file, body = tmp_path / "far.gguf", {**CHAT, "model": "far", "stream": True}
    with (
        embedded_engine(user_models={"far": user_model(file, "chat")}, chaos=True) as engine,
        hal0(engine.url, {}, tmp_path) as app,
        engine.fault("registry", total=1000, rate=0),
        requests.post(f"{app.url}/v1/chat/completions", json=body, stream=True, timeout=120) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == b": hal0 downloading far 0%"
        shutil.copy(models.chat(), file)
        engine.put("registry", total=1000, rate=1e9)
        told = [line for line in lines if line]
        assert told[-1] == b"data: [DONE]", told
        assert list(engine.residents()) == ["far"]
        record = app.get("/api/requests").json()[0]
        assert (record["model"], record["route"], record["load_ms"] > 1000) == ("far", "fallback", True)
        messages = [one["message"] for one in app.journal(kind="model.pull")]
        assert messages == ["the download of far started", "far was downloaded"]


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({"Content-Type": "application/json"}, b'{"model":"stt"}', "multipart/form-data"),
        ({"Content-Type": "multipart/form-data"}, b"--x--", "multipart/form-data"),
        (
            {"Content-Type": "multipart/form-data; boundary=x"},
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + b"m" * 5000 + b"\r\n--x--",
            "too long",
        ),
    ],
    ids=["json", "no-boundary", "long-name"],
)
def test_a_form_that_makes_no_sense_is_refused(app: App, headers: dict[str, str], body: bytes, says: str) -> None:
    answer = requests.post(f"{app.url}/v1/audio/transcriptions", data=body, headers=headers, timeout=30)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]["message"]


def test_a_form_for_no_model_is_refused_where_no_slot_is_the_default(app: App) -> None:
    requests.patch(f"{app.url}/api/slots/img", json={"default": False}, timeout=30)
    told = requests.post(f"{app.url}/v1/images/variations", files={"image": b"x"}, timeout=30)
    requests.patch(f"{app.url}/api/slots/img", json={"default": True}, timeout=30)
    assert code(told) == (400, "request.missing_field")
    assert "slots that fit: img" in told.json()["error"]["message"]


def test_half_a_character_in_a_prompt_is_served(app: App) -> None:
    body = b'{"model":"primary","max_tokens":2,"messages":[{"role":"user","content":"cut \\ud83d"}]}'
    answer = requests.post(f"{app.url}/v1/chat/completions", data=body, timeout=60)
    assert answer.status_code == 200, answer.text


def test_a_large_body_is_served(app: App) -> None:
    body = {"model": "embed", "input": "x", "padding": ["é" * 1000] * 5000}
    answer = app.post("/v1/embeddings", body)
    assert answer.status_code == 200, answer.text[:500]


# -- dialects


def test_errors_of_messages_are_anthropics(app: App) -> None:
    cases = [
        ({}, 400),
        ({"messages": CHAT["messages"], "model": "nobody"}, 404),
        ({"messages": [1], "model": "primary"}, 0),
    ]
    for body, status in cases:
        answer = app.post("/v1/messages", body)
        told = answer.json()
        assert (told["type"], set(told["error"])) == ("error", {"type", "message"}), told
        assert status in (0, answer.status_code)


def test_an_error_of_the_backend_has_openais_shape(app: App) -> None:
    answer = app.chat("primary", "word " * 9000)
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert error["code"] == "context_length_exceeded"
    assert set(error) == {"message", "type", "code", "param"}
    streamed = app.chat("primary", "word " * 9000, stream=True)
    assert code(streamed) == (400, "context_length_exceeded")


# -- methods and prefixes


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_both_prefixes_are_the_same(app: App, prefix: str) -> None:
    assert app.post(f"{prefix}/chat/completions", {**CHAT, "model": "primary"}).status_code == 200
    assert app.get(f"{prefix}/models").json()["data"][0]["owned_by"] == "hal0"
    assert app.get(f"{prefix}/models/primary").json()["id"] == "primary"
    assert app.get(f"{prefix}/health").status_code == 200
    assert code(app.post(f"{prefix}/embeddings", {})) == (400, "request.missing_field")
    assert "details" not in app.get(f"{prefix}/nonsense").json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST, OPTIONS"),
        ("PUT", "/api/v1/embeddings", 405, "POST, OPTIONS"),
        ("HEAD", "/v1/audio/speech", 405, "POST, OPTIONS"),
        ("POST", "/v1/health", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/chat/completions", 204, "POST, OPTIONS"),
        ("OPTIONS", "/v1/health", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/models", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/api/v1/models/primary", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/nonsense", 404, None),
        ("HEAD", "/v1/models", 200, None),
        ("HEAD", "/v1/models/primary", 200, None),
        ("HEAD", "/v1/health", 200, None),
        ("DELETE", "/api/slots", 405, None),
    ],
)
def test_a_method_is_answered_as_http_wants_it(
    app: App, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = requests.request(method, app.url + path, timeout=30)
    assert answer.status_code == status, answer.text
    assert allow is None or answer.headers["Allow"] == allow
    if method == "HEAD":
        assert answer.content == b""


# -- old and impatient clients


def raw(app: App, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request on a connection of its own, read to the end."""
    with closing(socket.create_connection(("127.0.0.1", app.port), timeout=120)) as connection:
        connection.sendall(request)
        told = b""
        while piece := connection.recv(65536):
            told += piece
    head, _, body = told.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_client_of_http_1_0_and_one_that_wants_no_more_are_served_to_the_end(
    app: App, version: str, stream: bool
) -> None:
    body = json.dumps({**CHAT, "model": "primary", "stream": stream}).encode()
    head, told = raw(
        app,
        b"POST /v1/chat/completions %b\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
        % (version.encode(), len(body), body),
    )
    assert head.split(b"\r\n")[0].endswith(b" 200 OK")
    assert b"connection: close" in head.lower()
    if version == "HTTP/1.0":
        assert b"transfer-encoding" not in head.lower()
    if stream:
        assert b"data: [DONE]" in told
    else:
        assert b'"choices"' in told


# -- a lemond that hangs


def test_a_lemond_that_hangs_delays_neither_the_list_nor_known_models(app: App, engine: Engine) -> None:
    assert app.chat("primary").status_code == 200
    with engine.fault("hang", what="health"), ThreadPoolExecutor(12) as pool:
        unknown = [pool.submit(app.chat, f"unknown-{n}") for n in range(10)]
        assert app.chat("primary").status_code == 200
        assert app.get("/v1/models").json()["data"][0]["id"] == "embed"
        assert {code(one.result()) for one in unknown} == {(503, "lemonade.unavailable")}
    eventually(lambda: code(app.chat("unknown-1")) == (404, "dispatch.no_route"), "lemond tells again", within=60)


# -- slot ports


@pytest.fixture(scope="module")
def ported(engine: Engine) -> Iterator[tuple[App, int]]:
    """A hal0 with slot ports: for the chat slot, an embedder, none, one that another program has, an empty slot."""
    first = free_port(5)
    slots = {
        "primary": {"type": "llm", "model": "chat-a", "port": first},
        "embed": {"type": "embedding", "model": "embed-a", "port": first + 1},
        "none": {"type": "llm", "model": "chat-b"},
        "empty": {"type": "llm", "port": first + 4},
    }
    ports = f"{first}-{first + 4}"
    with socket.create_server(("127.0.0.1", first + 3)), hal0(engine.url, slots, HAL0_SLOT_PORTS=ports) as app:
        yield app, first


def on(port: int, path: str, body: Any = None, **more: Any) -> requests.Response:
    method = "GET" if body is None else "POST"
    return requests.request(method, f"http://127.0.0.1:{port}{path}", json=body, timeout=120, **more)


@pytest.mark.parametrize("model", [None, "", "gpt-4", "embed", "none", "chat-b"])
def test_a_slots_port_is_served_by_the_slot_whatever_the_model_says(ported: tuple[App, int], model: str | None) -> None:
    _, first = ported
    answer = on(first, "/v1/chat/completions", {**CHAT, **({} if model is None else {"model": model})})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model"], answer.headers["X-Hal0-Slot"]) == ("chat-a", "primary")


def test_the_host_header_does_not_choose_the_slot(ported: tuple[App, int]) -> None:
    app, first = ported
    answer = on(app.port, "/v1/chat/completions", {**CHAT, "model": "none"}, headers={"Host": f"localhost:{first}"})
    assert answer.headers["X-Hal0-Slot"] == "none"


def test_the_models_of_a_slots_port_begin_with_its_slot(ported: tuple[App, int]) -> None:
    app, first = ported
    assert on(first, "/v1/models").json()["data"][0]["id"] == "primary"
    assert on(first + 1, "/api/v1/models").json()["data"][0]["id"] == "embed"
    assert on(app.port, "/v1/models").json()["data"][0]["id"] == "embed"


def test_an_endpoint_of_another_type_is_refused_on_a_slots_port(ported: tuple[App, int]) -> None:
    _, first = ported
    assert code(on(first + 1, "/v1/chat/completions", CHAT)) == (400, "model.type_mismatch")


@pytest.mark.parametrize("query", ["", "?flask=1"], ids=["fast", "flask"])
@pytest.mark.parametrize(
    ("path", "body", "why"),
    [("chat/completions", {}, "request.missing_field"), ("embeddings", {"input": "x"}, "model.type_mismatch")],
)
def test_a_name_with_line_ends_is_no_header(
    ported: tuple[App, int], path: str, body: dict[str, Any], why: str, query: str
) -> None:
    _, first = ported
    answer = on(first + 4, f"/v1/{path}{query}", {**body, "model": "a\r\nX-Evil: 1"})
    assert code(answer) == (400, why)
    assert answer.headers["X-Hal0-Slot"]
    assert {"X-Evil", "X-Hal0-Model"}.isdisjoint(answer.headers)  # the slot has no model, whatever is named


@pytest.mark.parametrize("query", ["", "?flask=1"], ids=["fast", "flask"])
@pytest.mark.parametrize(
    ("path", "kind", "body", "why"),
    [
        ("audio/transcriptions", "multipart/form-data; boundary=B", b"--B--\r\n", "request.missing_field"),
        ("chat/completions", "application/json", b"{{", "request.invalid_json"),
    ],
    ids=["form", "json"],
)
def test_what_cannot_be_read_on_a_slots_port_is_on_record_for_it(
    ported: tuple[App, int], path: str, kind: str, body: bytes, why: str, query: str
) -> None:
    app, first = ported
    answer = requests.post(
        f"http://127.0.0.1:{first}/v1/{path}{query}", data=body, headers={"Content-Type": kind}, timeout=30
    )
    assert (*code(answer), answer.headers.get("X-Hal0-Slot")) == (400, why, "primary")
    record = next(one for one in app.get("/api/requests").json() if one["id"] == answer.headers["X-Request-Id"])
    assert (record["slot"], record["model"], record["error_code"]) == ("primary", "chat-a", why)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/primary", "/v1/health"])
def test_a_port_without_a_slot_says_so(ported: tuple[App, int], path: str) -> None:
    _, first = ported
    assert code(on(first + 2, path)) == (404, "slot.no_slot_on_port")
    assert code(on(first + 2, "/v1/chat/completions", {**CHAT, "model": "primary"})) == (404, "slot.no_slot_on_port")


@pytest.mark.parametrize("path", ["/", "/api/slots", "/readyz", "/events?view=slots", "/nothing"])
def test_there_is_nothing_but_v1_on_a_slots_port(ported: tuple[App, int], path: str) -> None:
    _, first = ported
    assert on(first, path).status_code == 404
    assert on(first, "/healthz").status_code == 200


def test_a_port_that_another_program_has_is_left_out_and_told(ported: tuple[App, int]) -> None:
    app, first = ported
    assert f"{first + 3}" in app.log.read_text()
    command = ["-m", "hal0app", "doctor", "--json"]
    ended = subprocess.run(
        [sys.executable, *command],
        env={**app.variables(), "HAL0_URL": app.url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    findings = {one["what"]: one["level"] for one in json.loads(ended.stdout)}
    assert findings[f"port {first + 3} is not hal0's"] == "warn"
    assert not any("is not hal0's" in what for what in findings if str(first + 3) not in what)


def test_slots_made_through_the_api_get_the_lowest_free_port(ported: tuple[App, int]) -> None:
    app, first = ported
    made = app.post("/api/slots", {"name": "new", "type": "llm", "model": "chat-a"})
    assert (made.status_code, made.json()["port"]) == (201, first + 2), made.text
    eventually(lambda: on(first + 2, "/v1/chat/completions", CHAT).headers.get("X-Hal0-Slot") == "new", "it answers")
    app.post("/api/slots", {"name": "newer", "type": "llm"})
    full = app.post("/api/slots", {"name": "newest", "type": "llm"})
    assert code(full) == (400, "slot.no_free_port")
    taken = requests.patch(f"{app.url}/api/slots/none", json={"port": first}, timeout=30)
    assert code(taken) == (409, "slot.port_taken")
    for name in ("new", "newer"):
        requests.delete(f"{app.url}/api/slots/{name}", timeout=30)


def test_a_socket_that_systemd_holds_does_not_take_the_slots_ports_away(engine: Engine, tmp_path: Path) -> None:
    first, port = free_port(2), free_port()
    app = App(tmp_path, port, engine.url, {"HAL0_SLOT_PORTS": f"{first}-{first + 1}"})
    write_slots(tmp_path, {"primary": {"type": "llm", "model": "chat-a", "port": first}})
    passed_on = [f"--setenv={name}={value}" for name, value in app.variables().items()]
    app.behind = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *passed_on]
    try:
        app.start()
        answer = on(first, "/v1/chat/completions", CHAT)
        assert (answer.status_code, answer.headers["X-Hal0-Slot"]) == (200, "primary"), answer.text
        assert app.get("/healthz").ok
    finally:
        app.stop()
