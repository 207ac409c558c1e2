"""What the installer has lemond bring: its program, over answers that a real lemond gave."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "ansible/roles/models/files/bring.py"
RECORDED = ROOT / "tests/data/lemond"
UNRESOLVED = "CURL error: Couldn't resolve host name"
Answer = tuple[int, Any]
Bring = Callable[..., tuple[int, str]]


class Replay(ThreadingHTTPServer):
    """Answers each address with what was put for it, in turn, the last again and again; keeps what was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.sent: list[tuple[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Player)

    def put(self, what: str, *answers: Answer) -> None:
        self.answers[what] = list(answers)


class _Player(BaseHTTPRequestHandler):
    server: Replay

    def do_GET(self) -> None:
        self._play()

    def do_POST(self) -> None:
        self._play()

    def _play(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        what = f"{self.command} {self.path}"
        if length:
            self.server.sent.append((what, json.loads(self.rfile.read(length))))
        assert self.headers["Authorization"] == "Bearer its-key"
        answers = self.server.answers[what]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def lemond() -> Iterator[Replay]:
    """A lemond without models and downloads."""
    with Replay() as server:
        server.put("GET /v1/models", (200, {"data": []}))
        server.put("GET /v1/downloads", (200, []))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bring(lemond: Replay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bring:
    """Run the program as on a host; its exit status and what it prints."""
    spec = importlib.util.spec_from_file_location("bring", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setattr(program, "PERIOD_S", 0)
    monkeypatch.setenv("HAL0_LEMONADE_PORT", str(lemond.server_port))
    monkeypatch.setenv("HAL0_LEMONADE_KEY", "its-key")
    monkeypatch.setenv("HAL0_PULL", json.dumps({"model_name": "tiny"}))

    def run(*arguments: str) -> tuple[int, str]:
        status: int = program.main(list(arguments))
        return status, capsys.readouterr().out.strip()

    return run


def row(done: int, status: str = "downloading", **facts: Any) -> Answer:
    return 200, [
        {"id": "model:tiny", "status": status, "overall_bytes_downloaded": done, "total_download_size": 1000, **facts}
    ]


def system_info(**backends: dict[str, str]) -> Answer:
    """A recorded answer with other states: `llamacpp={"vulkan": "installable"}`."""
    recorded = json.loads((RECORDED / "a13_system_info.json").read_text())["response"]["body"]
    for recipe, states in backends.items():
        for name, state in states.items():
            recorded["recipes"][recipe.replace("_", "-")]["backends"][name]["state"] = state
    return 200, recorded


def test_a_download_is_started_once_and_waited_for(lemond: Replay, bring: Bring) -> None:
    lemond.put("POST /v1/pull", (200, {"id": "model:tiny"}))
    lemond.put("GET /v1/downloads", (200, []), row(100), row(350))
    assert bring("model:tiny", "30", "60") == (0, "30 % of model:tiny are here")
    assert lemond.sent == [("POST /v1/pull", {"model_name": "tiny", "stream": True, "subscribe": False})]

    lemond.put("GET /v1/downloads", row(350), row(990), (200, []))
    lemond.put("GET /v1/models", (200, {"data": []}), (200, {"data": [{"id": "tiny"}]}))
    assert bring("model:tiny", "100", "60") == (0, "model:tiny is installed now")
    assert len(lemond.sent) == 1


def test_a_model_that_is_there_is_not_asked_for(lemond: Replay, bring: Bring) -> None:
    lemond.put("GET /v1/models", (200, {"data": [{"id": "mine"}]}))
    assert bring("model:user.mine", "10", "60") == (0, "")
    assert lemond.sent == []


@pytest.mark.parametrize(
    ("refusal", "fix"),
    [
        ((500, {"error": UNRESOLVED}), "does not reach the internet"),
        ("j01_pull_unknown", "no model of this name"),
        ((400, {"error": "lemond is offline", "code": "lemond_offline"}), "stay offline"),
        ((500, {"error": {"message": "HTTP 401 from huggingface.co"}}), "HF_TOKEN"),
        ((500, {"error": "Failed writing received data to disk/application"}), "no room"),
        ((500, "what"), "journalctl -u lemond"),
    ],
)
def test_a_refusal_says_what_to_do(lemond: Replay, bring: Bring, refusal: Answer | str, fix: str) -> None:
    if isinstance(refusal, str):
        recorded = json.loads((RECORDED / f"{refusal}.json").read_text())["response"]
        refusal = recorded["status"], recorded["body"]
    lemond.put("POST /v1/pull", refusal)
    status, said = bring("model:tiny", "10", "60")
    assert status == 1
    assert fix in said.partition("What to do: ")[2]


def test_a_download_that_fails_on_the_way_says_why(lemond: Replay, bring: Bring) -> None:
    lemond.put("POST /v1/pull", (200, {"id": "model:tiny"}))
    lemond.put("GET /v1/downloads", (200, []), row(10), row(20, "error", error=UNRESOLVED))
    status, said = bring("model:tiny", "30", "60")
    assert status == 1
    assert said.startswith(UNRESOLVED)
    assert "hal0_extra_models_dir" in said


@pytest.mark.parametrize("end", [row(20, "paused"), row(20, "cancelled"), (200, [])])
def test_a_download_that_somebody_ended_is_no_success(lemond: Replay, bring: Bring, end: Answer) -> None:
    lemond.put("POST /v1/pull", (200, {"id": "model:tiny"}))
    lemond.put("GET /v1/downloads", (200, []), row(10), end)
    status, said = bring("model:tiny", "30", "60")
    assert status == 1
    assert "Run this again" in said


def test_a_download_that_takes_too_long_goes_on(lemond: Replay, bring: Bring) -> None:
    lemond.put("GET /v1/downloads", row(10))
    status, said = bring("model:tiny", "30", "0")
    assert status == 1
    assert "it goes on" in said


def test_a_lemond_that_is_down_is_told(lemond: Replay, bring: Bring) -> None:
    lemond.socket.close()
    assert "systemctl status lemond" in bring("model:tiny", "30", "60")[1]


def test_a_backend_counts_as_brought_once_lemond_calls_it_installed(lemond: Replay, bring: Bring) -> None:
    lemond.put("POST /v1/install", (200, {"id": "backend:llamacpp:vulkan"}))
    lemond.put("GET /v1/system-info", system_info(), system_info(llamacpp={"vulkan": "installed"}))
    assert bring("backend:llamacpp:vulkan", "100", "60") == (0, "backend:llamacpp:vulkan is installed now")
    assert lemond.sent[0][1] == {"recipe": "llamacpp", "backend": "vulkan", "stream": True, "subscribe": False}


def test_a_backend_that_a_person_has_to_install_is_told_with_the_page(lemond: Replay, bring: Bring) -> None:
    lemond.put("GET /v1/system-info", system_info())
    lemond.put("POST /v1/install", (200, {"action": "https://lemonade-server.ai/gfx1151_linux.html"}))
    status, said = bring("backend:llamacpp:vulkan", "100", "60")
    assert status == 1
    assert "follow https://lemonade-server.ai/gfx1151_linux.html" in said


CHAT, WHISPER = {"id": "c", "recipe": "llamacpp"}, {"id": "w", "recipe": "whispercpp"}


@pytest.mark.parametrize(
    ("models", "info", "gpu", "wanted"),
    [
        ([], system_info(), False, []),  # its llama.cpp for the processor is there
        ([], system_info(llamacpp={"cpu": "installable"}), False, ["llamacpp:cpu"]),
        ([CHAT, WHISPER], system_info(), False, ["whispercpp:vulkan"]),
        ([CHAT], system_info(), True, ["llamacpp:vulkan"]),
        ([CHAT], system_info(llamacpp={"system": "installed"}), True, []),
        ([CHAT], system_info(llamacpp={"rocm": "update_required", "vulkan": "unsupported"}), True, ["llamacpp:rocm"]),
        ([{"id": "x", "recipe": "flm"}], system_info(), False, []),  # nothing can be installed
        ([{"id": "x", "recipe": "flm"}], system_info(flm={"npu": "installable"}), False, ["flm:npu"]),
        ([{"id": "x", "recipe": "of a newer Lemonade"}], system_info(), False, []),
    ],
)
def test_what_the_models_need_is_installed(
    lemond: Replay,
    bring: Bring,
    models: list[dict[str, str]],
    info: Answer,
    gpu: bool,
    wanted: list[str],
) -> None:
    info[1]["devices"]["amd_gpu"] = [{"available": True, "name": "Radeon 8060S"}] if gpu else []
    lemond.put("GET /v1/models", (200, {"data": models}))
    lemond.put("GET /v1/system-info", info)
    status, said = bring("backends")
    assert (status, json.loads(said)["install"]) == (0, wanted)


def test_what_cannot_be_installed_is_told_with_lemonades_reason(lemond: Replay, bring: Bring) -> None:
    lemond.put("GET /v1/models", (200, {"data": [{"id": "x", "recipe": "flm"}]}))
    lemond.put("GET /v1/system-info", system_info())
    assert json.loads(bring("backends")[1]) == {"install": [], "impossible": ["flm: Requires AMD XDNA 2 AMD NPU"]}


def test_what_no_backend_runs_is_not_offered(lemond: Replay, bring: Bring) -> None:
    nothing = {"cpu": "unsupported", "vulkan": "unsupported"}
    lemond.put("GET /v1/system-info", system_info(whispercpp=nothing, llamacpp={"cpu": "installed"}))
    recipes = json.loads(bring("recipes")[1])
    assert "llamacpp" in recipes
    assert "whispercpp" not in recipes


def test_it_runs_with_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", PROGRAM, "model:tiny", "10", "60"]
    nobody = {"HAL0_LEMONADE_PORT": "9", "HAL0_LEMONADE_KEY": "", "HAL0_PULL": "{}"}
    done = subprocess.run(command, env=nobody, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "systemctl status lemond" in done.stdout
