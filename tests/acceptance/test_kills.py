"""A backend that is killed under its streams: each of them is told the truth, or that it broke off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.soak import kills
from tests.support import models
from tests.support.app import hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually

KILLS = 5


def test_streams_whose_backend_is_killed_get_the_truth_or_a_clean_end(
    start_engine: Callable[..., AbstractContextManager[Engine]], tmp_path: Path
) -> None:
    kills.configure(tmp_path)
    tiny = {f"chat-{x}": models.chat() for x in "ab"}
    with start_engine(max_loaded_models=2, models=tiny) as engine, hal0(engine.url, kills.SLOTS, tmp_path) as app:
        seen = kills.run(app, engine, KILLS)
        assert seen.failures == []
        assert seen.kills == KILLS
        assert seen.ends[kills.COMPLETE], seen
        assert seen.ends.total() > seen.ends[kills.COMPLETE], "no kill struck a stream"
        eventually(lambda: not any(one["in_flight"] or one["queued"] for one in app.get("/api/slots").json()), "quiet")
