"""`make run` and its supervisor, end to end: real processes, a real model, the very request that it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support import models, processes
from tests.support.engines import embedded_engine, free_port
from tests.support.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
HAL0_RUN = [sys.executable, "-m", "hal0app", "run"]
MAKE_RUN = ["make", "--no-print-directory", "run"]
FIRST_START_S = 600.0  # a virtual environment and 253 MB
START_S = 120.0


@dataclass
class Run:
    """A supervisor that was started, with its terminal in a file."""

    process: subprocess.Popen[bytes]
    home: Path
    terminal: Path
    port: int
    lemonade_port: int

    def said(self) -> str:
        return self.terminal.read_text()

    def ready(self, within: float = START_S) -> Run:
        """Wait until it says so; AssertionError with what it said if it ends first."""

        def announced() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(self.said())
            return "hal0 is ready" in self.said()

        eventually(announced, "the run is ready", within=within)
        return self

    def ended(self) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(timeout=60)

    def ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def family(self) -> list[int]:
        """Every living process that carries this run's HAL0_HOME, whoever its parent is."""
        mark = f"HAL0_HOME={self.home}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environ(pid)]

    def leaves_nothing(self) -> None:
        eventually(lambda: not self.family(), f"no process of {self.home} is left", within=30)


def _environ(pid: int) -> list[bytes]:
    if not processes.alive(pid):
        return []
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a supervisor on free ports in a home of its own; a second start has the same home and ports."""
    home = tmp_path / "home"
    port, lemonade_port = free_port(), free_port()
    runs: list[Run] = []

    def begin(command: list[str] = HAL0_RUN, **environment: object) -> Run:
        terminal = tmp_path / f"terminal-{len(runs)}"
        ours = {"HAL0_HOME": home, "HAL0_PORT": port, "HAL0_LEMONADE_URL": f"http://127.0.0.1:{lemonade_port}"}
        settings = {name: str(value) for name, value in {**ours, **environment}.items()}
        with terminal.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        runs.append(Run(process, home, terminal, port, lemonade_port))
        return runs[-1]

    yield begin
    for run in runs:
        processes.kill(*run.family())
        run.process.wait()


@pytest.fixture
def chat_folder(tmp_path: Path) -> Path:
    """A MODELS folder with one tiny chat model."""
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "tiny.gguf").symlink_to(models.chat())
    return folder


def slots(run: Run) -> dict[str, str]:
    """The type of every slot by name, as the API lists them."""
    answer = requests.get(f"http://127.0.0.1:{run.port}/api/slots", timeout=30).json()
    return {slot["name"]: slot["type"] for slot in answer}


def streamed_text(output: str) -> str:
    """The text of a streamed chat answer."""
    events = [line.removeprefix("data: ") for line in output.splitlines() if line.startswith("data: ")]
    assert events, output
    assert events[-1] == "[DONE]", output
    chunks = [json.loads(event) for event in events[:-1]]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_make_run_ends_in_a_request_that_streams_and_ctrl_c_leaves_nothing(start: Start) -> None:
    run = start(MAKE_RUN).ready(FIRST_START_S)
    printed = re.search(r"^ *(curl .*)$", run.said(), re.MULTILINE)
    assert printed, run.said()
    answer = subprocess.run(["sh", "-c", printed[1]], check=True, capture_output=True, text=True, timeout=120)
    assert streamed_text(answer.stdout).strip()
    run.ctrl_c()
    run.ended()
    assert "hal0 has stopped." in run.said()
    assert run.family() == []


def test_sigterm_is_a_clean_stop_too(start: Start, chat_folder: Path) -> None:
    run = start(MODELS=chat_folder).ready()
    run.process.terminate()
    assert run.ended() == 0
    assert run.family() == []


def test_nothing_survives_a_supervisor_that_was_killed(start: Start, chat_folder: Path) -> None:
    run = start(MODELS=chat_folder).ready()
    assert len(run.family()) > 2
    run.process.kill()
    run.ended()
    run.leaves_nothing()


def test_an_engine_that_dies_ends_the_run_and_is_named(start: Start, chat_folder: Path) -> None:
    run = start(MODELS=chat_folder).ready()
    engine = next(pid for pid in run.family() if b"embedded" in Path(f"/proc/{pid}/cmdline").read_bytes())
    processes.kill(engine)
    assert run.ended() == 1
    assert "the embedded engine ended" in run.said()
    run.leaves_nothing()


def test_each_type_of_model_gets_its_slot(start: Start, chat_folder: Path) -> None:
    (chat_folder / "bert.gguf").symlink_to(models.embed())
    (chat_folder / "ranker.gguf").symlink_to(models.rerank())
    run = start(MODELS=chat_folder).ready()
    assert slots(run) == {"primary": "llm", "embed": "embedding", "rerank": "reranking"}


def test_slots_are_seeded_once_and_then_belong_to_the_user(start: Start, chat_folder: Path) -> None:
    run = start(MODELS=chat_folder).ready()
    run.process.terminate()
    run.ended()
    folder = run.home / "etc" / "slots"
    (folder / "primary.toml").rename(folder / "mine.toml")
    assert slots(start(MODELS=chat_folder).ready()) == {"mine": "llm"}


def test_a_lemonade_that_runs_already_is_used(start: Start) -> None:
    with embedded_engine() as engine:
        run = start(HAL0_LEMONADE_URL=engine.url).ready()
        assert f"Using the Lemonade that runs at {engine.url}" in run.said()
        assert "device" not in (run.home / "etc" / "slots" / "primary.toml").read_text()
        run.ctrl_c()
        assert run.ended() == 0
        assert requests.get(f"{engine.url}/live", timeout=5).ok


def test_an_occupied_port_is_named_before_anything_starts(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        run = start(HAL0_PORT=taken)
        assert run.ended() == 1
    assert f"port {taken} on 127.0.0.1 is in use" in run.said()
    assert f"HAL0_PORT={taken + 1} make run" in run.said()


def test_a_stranger_on_lemonades_port_is_named(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        run = start(HAL0_LEMONADE_URL=f"http://127.0.0.1:{taken}")
        assert run.ended() == 1
    assert "is in use by a program that is not Lemonade" in run.said()


def test_a_models_folder_that_does_not_exist_is_named(start: Start, tmp_path: Path) -> None:
    run = start(MODELS=tmp_path / "nowhere")
    assert run.ended() == 1
    assert f"MODELS={tmp_path / 'nowhere'}: there is no such folder" in run.said()


def test_a_models_folder_without_models_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "broken.gguf").write_bytes(b"no model")
    run = start(MODELS=tmp_path / "empty")
    assert run.ended() == 1
    assert "no usable .gguf file" in run.said()
