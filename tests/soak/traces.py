"""What requests that are over must not leave behind, in hal0 and in the backends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.support import processes
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.sockets import connections
from tests.support.waiting import eventually

WITHIN_S = 60.0
LATE_THREADS = 4  # pools of threads begin some of theirs when there is first work for them; no request may leave one
LOOK_S = 2.5  # llama-server looks for closed connections after a second without results; every /slots answer is one


def worker(app: App) -> int:
    """The process that serves requests."""
    assert app.process is not None
    (pid,) = processes.children(app.process.pid)
    return pid


def figure(app: App, name: str) -> float:
    """The sum of one metric over all its labels."""
    rows = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", app.get("/metrics").text, re.MULTILINE)
    assert rows, f"there is no metric {name}"
    return sum(map(float, rows))


@dataclass(frozen=True)
class Traces:
    """What a worker holds while no request runs."""

    greenlets: int
    files: int
    threads: int

    def __le__(self, other: Traces) -> bool:
        held = self.greenlets <= other.greenlets and self.files <= other.files
        return held and self.threads <= other.threads + LATE_THREADS


def traces(app: App) -> Traces:
    """What the worker holds now."""
    proc = Path(f"/proc/{worker(app)}")
    return Traces(
        greenlets=round(figure(app, "hal0_greenlets")),
        files=len(list((proc / "fd").iterdir())),
        threads=len(list((proc / "task").iterdir())),
    )


def at_rest(app: App, engine: Engine) -> Traces:
    """Wait until nothing of any request is left in hal0 or a backend; what hal0 holds then."""
    eventually(lambda: nothing_counted(app), "no request is counted", within=WITHIN_S, every=0.2)
    eventually(lambda: all_idle(engine), "no backend works", within=WITHIN_S, every=LOOK_S)
    eventually(lambda: not to_backends(app, engine), "no connection to a backend is open", within=WITHIN_S, every=0.2)
    return traces(app)


def no_more_than(app: App, engine: Engine, before: Traces) -> None:
    """Wait until nothing is left, and hal0 holds no more than before."""
    held: list[Traces] = []

    def no_more() -> bool:
        held.append(at_rest(app, engine))
        return held[-1] <= before

    try:
        eventually(no_more, within=WITHIN_S, every=1.0)
    except AssertionError as late:
        raise AssertionError(f"more is held than {before}: {held[-1:]}, {connections(worker(app))}") from late


def nothing_counted(app: App) -> bool:
    """Whether every count of requests is 0."""
    shown = app.get("/api/slots").json()
    slots = not any(one["in_flight"] or one["queued"] for one in shown)
    names = ("hal0_requests_open", "hal0_slot_requests_in_flight", "hal0_slot_requests_queued")
    return slots and not any(figure(app, name) for name in names)


def all_idle(engine: Engine) -> bool:
    """Whether no llama-server generates anything."""
    return not any(
        sequence["is_processing"]
        for one in engine.residents().values()
        if one["recipe"] == "llamacpp"
        for sequence in requests.get(f"{one['backend_url'].removesuffix('/v1')}/slots", timeout=30).json()
    )


def to_backends(app: App, engine: Engine) -> list[int]:
    """The ports of the backends that hal0 has connections to."""
    ports = {urlsplit(one["backend_url"]).port for one in engine.residents().values()}
    return [one.there for one in connections(worker(app)) if one.there in ports]
