"""Start a Lemonade for a test: our embedded engine, or the real daemon in its chroot. Same object for both."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import requests

from tests.support import cache, models, processes
from tests.support.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
CHROOT_SCRIPT = REPOSITORY / "tests" / "lemond" / "chroot.sh"
START_DEADLINE_S = 60.0
MARK = "HAL0_TEST_ENGINE_HOME"  # lemond killed with -9 may leave its llama-servers behind: they are found by this
DIES_WITH_TESTS = ["setpriv", "--pdeathsig", "KILL"]  # util-linux: also when the test process is killed

# Private mounts, so that nothing stays behind: the shared folder at its own path, and /proc, inside the chroot.
ENTER_CHROOT = """
set -e
mkdir -p "$ROOT$SHARED"
mount --bind "$SHARED" "$ROOT$SHARED"
mount -t proc proc "$ROOT/proc"
if [ -n "${TRUSTED:-}" ]; then mount --bind "$TRUSTED" "$ROOT/etc/ssl/certs/ca-certificates.crt"; fi
exec chroot "$ROOT" "$@"
"""


PORTS = range(12_000, 32_000)  # the kernel gives others to connections, so nobody has one before it is bound
CLAIMS: list[socket.socket] = []  # for the life of this process, so that no other process of the tests has it, either


def free_port(count: int = 1) -> int:
    """A TCP port of 127.0.0.1 that is nobody else's, the first of so many in a row."""
    drawn = random.SystemRandom()  # hypothesis makes the module's own repeat itself
    for first in drawn.sample(PORTS[:-count], len(PORTS) - count):
        if _claimed(range(first, first + count)):
            return first
    raise AssertionError("no port is free")


def _claimed(ports: range) -> bool:
    claims = [socket.socket(socket.AF_UNIX) for _ in ports]
    try:
        for port, claim in zip(ports, claims, strict=True):
            claim.bind(f"\0hal0-tests-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        for claim in claims:
            claim.close()
        return False
    CLAIMS.extend(claims)
    return True


@dataclass
class Engine:
    """A running Lemonade. `kill9` and `restart` act on the daemon; its folders and port stay the same."""

    name: str
    port: int
    home: Path
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    chaos_port: int | None = None  # of the embedded engine, when it was started with `chaos`

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None, "the engine is not running"
        return self.process.pid

    @property
    def config_dir(self) -> Path:
        return self.home / "config"

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def log(self) -> Path:
        return self.home / "log"

    def health(self, timeout: float = 30.0) -> dict[str, Any]:
        """The body of GET /v1/health."""
        body: dict[str, Any] = requests.get(f"{self.url}/v1/health", timeout=timeout).json()
        return body

    def residents(self) -> dict[str, dict[str, Any]]:
        """Loaded models by name, as health lists them."""
        return {entry["model_name"]: entry for entry in self.health()["all_models_loaded"]}

    # -- faults of the embedded engine (docs/embedded.md)

    def chaos(self, act: str, model: str, **facts: Any) -> dict[str, Any]:
        """Do harm now: `evict`, `kill` or `wipe`."""
        return self._control("POST", f"/{act}", {"model": model, **facts})

    def put(self, fault: str, **facts: Any) -> None:
        """Make a fault strike until it is released: `hang`, `threads`, `cut`, `refuse`, `slow`."""
        self._control("PUT", f"/faults/{fault}", facts)

    def release(self, fault: str = "") -> None:
        """Release all faults, or those of one kind."""
        self._control("DELETE", f"/faults/{fault}".rstrip("/"))

    @contextmanager
    def fault(self, fault: str, **facts: Any) -> Iterator[None]:
        """A fault that strikes during the block."""
        self.put(fault, **facts)
        try:
            yield
        finally:
            self.release(fault)

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        assert self.chaos_port, "this engine was started without `chaos`"
        answer = requests.request(method, f"http://127.0.0.1:{self.chaos_port}{path}", json=body, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.text}"
        return answer.json()

    def start(self) -> None:
        """Start the daemon and wait until /live answers. AssertionError with the log's end if it never does."""
        with self.log.open("ab") as log:
            command = [*DIES_WITH_TESTS, *self.command]
            environment = {**self.environment, MARK: str(self.home)}
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        eventually(self._live, f"{self.name} answers /live", within=START_DEADLINE_S)

    def _live(self) -> bool:
        process = self.process
        if process is None or process.poll() is not None:
            raise RuntimeError(f"{self.name} ended at its start:\n{self.log.read_text()[-2000:]}")
        return requests.get(f"{self.url}/live", timeout=2).ok

    def _gone(self, signal_number: int) -> None:
        process = self.process
        if process is None:
            processes.kill(*processes.marked(MARK, str(self.home)))
            return
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()
            processes.kill(*processes.marked(MARK, str(self.home)))
            self.process = None

    def kill9(self) -> None:
        """kill -9 of the daemon, and wait until it and its children are gone."""
        self._gone(signal.SIGKILL)

    def crash(self) -> None:
        """kill -9 of the daemon alone: backends that it leaves behind stay, with their ports."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The daemon is stopped (SIGSTOP) during the block; its backends go on."""
        processes.stop(self.pid)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, as systemd does, then wait until it and its children are gone."""
        self._gone(signal.SIGTERM)

    def restart(self) -> None:
        """kill -9 and start again on the same folders and port."""
        self.kill9()
        self.start()


def config(port: int, models_dir: Path, max_loaded_models: int, **more: Any) -> dict[str, Any]:
    """A config.json for lemond on a machine without a GPU; `more` overrides.

    One thread: two of a tiny model wait for each other, spinning, and on a busy machine that is most of what they do.
    """
    return {
        "config_version": 2, "port": port, "host": "127.0.0.1", "max_loaded_models": max_loaded_models,
        "extra_models_dir": str(models_dir), "broadcast": False, "no_fetch_executables": True, "offline": True,
        "llamacpp": {"backend": "system", "prefer_system": True, "args": "--parallel 1 --threads 1"},
        **more,
    }  # fmt: skip


def user_model(source: Path, label: str) -> dict[str, Any]:
    """An entry of user_models.json: a local GGUF with the label that decides its type (`embeddings`, `reranking`)."""
    return {
        "checkpoint": str(source), "source": "local_path", "recipe": "llamacpp", "labels": [label],
        "suggested": True,
    }  # fmt: skip


def default_models() -> dict[str, Path]:
    """Three tiny chat models and two that no server can load: a truncated file, and one that only looks sound."""
    chat = {name: models.chat() for name in ("chat-a", "chat-b", "chat-c")}
    return {**chat, "broken": models.broken(), "unloadable": models.unloadable()}


def default_user_models() -> dict[str, dict[str, Any]]:
    """A tiny embedding model, a tiny reranker, and one whose file does not exist."""
    return {
        "embed-a": user_model(models.embed(), "embeddings"),
        "rerank-a": user_model(models.rerank(), "reranking"),
        "missing-a": user_model(cache.shared() / "gguf" / "absent.gguf", "chat"),
    }


def _embedded_command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    hal0 = [sys.executable, "-W", "error", "-m", "hal0app"]
    folders = ["--config-dir", str(home / "config"), "--cache-dir", str(home / "cache")]
    command = [*hal0, "embedded", "--port", str(port), *folders]
    return command, {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def _lemond_command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    root = subprocess.run([CHROOT_SCRIPT], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER_CHROOT, "enter",
               "lemond", "--port", str(port), "--no-broadcast", str(home / "cache"), str(home / "config")]  # fmt: skip
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return command, {"PATH": path, "HOME": str(home), "ROOT": root, "SHARED": str(cache.shared())}


class _Alone:
    """Held while this process runs a real lemond, so that only one process on the host does.

    Two daemons that load at one moment choose the same port (8001 and up) for a llama-server; the failed load then
    wipes everything, and a test sees an eviction that nobody asked for.
    """

    def __init__(self) -> None:
        self._running = 0
        self._handle: TextIO | None = None

    def __enter__(self) -> None:
        if self._handle is None:
            self._handle = (cache.root() / "lemond-run.lock").open("w")
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        self._running += 1

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if not self._running and self._handle is not None:
            self._handle.close()
            self._handle = None


ALONE = _Alone()


@contextmanager
def _engine(
    name: str,
    command: Callable[[Path, int], tuple[list[str], dict[str, str]]],
    max_loaded_models: int,
    chat_models: Mapping[str, Path] | None,
    user_models: Mapping[str, dict[str, Any]] | None,
    settings: Mapping[str, Any],
    chaos: bool = False,
    simulate_flm: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Engine]:
    runs = cache.shared() / "runs"
    runs.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=runs))
    port = free_port()
    engine = Engine(name, port, home, *command(home, port))
    engine.environment |= environment or {}
    if chaos:
        engine.chaos_port = free_port()
        engine.command += ["--chaos", str(engine.chaos_port)]
    if simulate_flm:
        engine.command.append("--simulate-flm")
    try:
        engine.config_dir.mkdir()
        (home / "cache").mkdir()
        models.link(engine.models_dir, default_models() if chat_models is None else chat_models)
        written = config(port, engine.models_dir, max_loaded_models, **settings)
        (engine.config_dir / "config.json").write_text(json.dumps(written))
        listed = default_user_models() if user_models is None else user_models
        (engine.config_dir / "user_models.json").write_text(json.dumps(listed))
        engine.start()
        yield engine
    finally:
        engine.kill9()
        shutil.rmtree(home, ignore_errors=True)


def embedded_engine(
    max_loaded_models: int = 2,
    models: Mapping[str, Path] | None = None,
    user_models: Mapping[str, dict[str, Any]] | None = None,
    chaos: bool = False,
    simulate_flm: bool = False,
    **settings: Any,
) -> AbstractContextManager[Engine]:
    """hal0's embedded engine on a free port, gone at the end with all its children.

    `models`: name -> GGUF, hard-linked into its extra_models_dir (default `default_models()`);
    `user_models`: name -> entry of user_models.json (default `default_user_models()`);
    `chaos`: with its control port; `simulate_flm`: with programs that look like FastFlowLM;
    `settings`: further keys of config.json.
    """
    return _engine("embedded", _embedded_command, max_loaded_models, models, user_models, settings, chaos, simulate_flm)


@contextmanager
def real_lemond(
    max_loaded_models: int = 2,
    models: Mapping[str, Path] | None = None,
    user_models: Mapping[str, dict[str, Any]] | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Engine]:
    """The real lemond in the chroot of tests/lemond/chroot.sh; needs root. Arguments as `embedded_engine`.

    Waits while another process on this host runs one. `environment`: more variables; TRUSTED is a file of certificates
    that lemond is to trust.
    """
    with (
        ALONE,
        _engine(
            "lemond", _lemond_command, max_loaded_models, models, user_models, settings, environment=environment
        ) as engine,
    ):
        yield engine


TARGETS = {"embedded": embedded_engine, "lemond": real_lemond}
