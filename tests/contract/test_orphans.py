"""No child outlives the embedded engine. (The real lemond, killed with -9, leaves one behind now and then.)"""

from __future__ import annotations

import os
import signal

import pytest

from tests.contract import client
from tests.support import processes
from tests.support.engines import embedded_engine
from tests.support.waiting import eventually


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_children_end_with_the_engine(number: signal.Signals) -> None:
    with embedded_engine() as engine:
        client.loaded(engine, "chat-a", "embed-a", ctx_size=32768)
        with client.streaming(engine, "chat-a"):
            children = [int(entry["pid"]) for entry in engine.residents().values()]
            os.kill(engine.pid, number)
            assert engine.process is not None
            engine.process.wait(timeout=30)
        eventually(lambda: not any(map(processes.alive, children)), "no child is left")
