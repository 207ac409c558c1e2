"""hal0 before a scripted upstream: over gunicorn's socket, in both lanes, and as a plain WSGI server iterates it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.relay.client import Client
from tests.relay.upstream import Upstream
from tests.support.app import App, write_slots
from tests.support.engines import free_port
from tests.support.waiting import eventually

STALL_S = 6
UPLOAD_IDLE_S = 2
HEARTBEAT_S = 1
KEEP_ALIVE_S = 5
HELD_MB = 8
GUNICORN = ("-m", "gunicorn", "-c", "python:hal0app.gunicorn_conf", "tests.relay.app_under_test:create_app()")
PLAIN_WSGI = ("-m", "tests.relay.app_under_test")


@contextmanager
def front(upstream: Upstream, command: tuple[str, ...], fast_lane: bool = True) -> Iterator[App]:
    with tempfile.TemporaryDirectory(prefix="hal0-relay-") as folder:
        environment = {"GUNICORN_CMD_ARGS": f"--keep-alive {KEEP_ALIVE_S}"}
        app = App(Path(folder), free_port(), upstream.url, environment, command=command)
        write_slots(app.home, {"primary": {"type": "llm", "model": "m", "default": True, "max_in_flight": 64}})
        (app.home / "etc" / "hal0.toml").write_text(
            f"[server]\nfast_lane = {str(fast_lane).lower()}\nmax_body_mb = {HELD_MB}\nmax_held_mb = {HELD_MB}\n"
            f"[dispatch]\nstall_s = {STALL_S}\nupload_idle_s = {UPLOAD_IDLE_S}\nheartbeat_s = {HEARTBEAT_S}\n"
        )
        try:
            app.start()
            eventually(lambda: app.slot("primary")["state"] == "ready", "the slot is ready")
            yield app
        finally:
            app.stop()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture(scope="session")
def fast_lane(upstream: Upstream) -> Iterator[App]:
    with front(upstream, GUNICORN) as app:
        yield app


@pytest.fixture(scope="session")
def flask_lane(upstream: Upstream) -> Iterator[App]:
    with front(upstream, GUNICORN, fast_lane=False) as app:
        yield app


@pytest.fixture(params=["fast", "flask"])
def over_the_socket(request: pytest.FixtureRequest) -> App:
    """Under gunicorn, in both lanes."""
    found: App = request.getfixturevalue(f"{request.param}_lane")
    return found


@pytest.fixture(scope="session")
def over_wsgi(upstream: Upstream) -> Iterator[App]:
    with front(upstream, PLAIN_WSGI) as app:
        yield app


@pytest.fixture(params=["fast_lane", "flask_lane", "over_wsgi"])
def app(request: pytest.FixtureRequest) -> App:
    """All the ways that the bytes of an answer can take."""
    found: App = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(over_the_socket: App) -> Iterator[Client]:
    """A connection to hal0 under gunicorn."""
    with Client(over_the_socket.port) as made:
        yield made


@pytest.fixture(autouse=True)
def the_upstream_had_no_trouble(upstream: Upstream) -> Iterator[None]:
    yield
    problems, upstream.problems = upstream.problems, []
    assert problems == []
