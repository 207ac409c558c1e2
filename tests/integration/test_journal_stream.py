"""`/api/journal/stream`: entries as they are written, by whichever process, resumed by id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tests.support.app import App
from tests.support.engines import Engine


@contextmanager
def following(app: App, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The entries of the stream; each has its `id:` line's number as `stream_id`."""
    with requests.get(f"{app.url}/api/journal/stream", headers=headers, stream=True, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines).startswith(":")
        yield entries(lines)


def entries(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    number = 0
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        if line.startswith("data: "):
            yield {**json.loads(line[6:]), "stream_id": number}


def test_entries_come_as_they_are_written(app: App) -> None:
    with following(app) as stream:
        app.post("/api/slots/primary/restart?wait=true")
        kinds = [next(stream)["kind"] for _ in range(4)]
    assert {"slot.state", "slot.load"} & set(kinds)


def test_a_stream_resumes_after_the_id_it_saw_last(app: App) -> None:
    assert app.post("/api/slots/primary/restart?wait=true").status_code == 200
    known = app.journal()
    with following(app, **{"Last-Event-ID": str(known[1]["id"])}) as stream:
        resumed = [next(stream) for _ in known[2:]]
    assert [one["stream_id"] for one in resumed] == [one["id"] for one in known[2:]]
    assert resumed[0]["message"] == known[2]["message"]


def test_what_the_drift_checker_writes_comes_too(app: App, tiny: Engine) -> None:
    (app.home / "etc" / "hal0.toml").write_text("[lemonade.want]\nmax_loaded_models = 8\n")
    try:
        with following(app) as stream:
            assert app.drift().returncode == 3
            found = next(one for one in stream if one["source"] == "drift")
        assert found["kind"] == "config.drift"
    finally:
        (app.home / "etc" / "hal0.toml").unlink()
