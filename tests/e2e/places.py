"""The places on the stream: a page that took none leaves all of them to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import requests

from hal0app.web.hub import PLACES
from tests.e2e.box import Box
from tests.support.waiting import eventually


@contextmanager
def all_places(box: Box) -> Iterator[None]:
    """Hold every place, once the pages of earlier tests have given theirs back."""
    with ExitStack() as held:

        def taken() -> bool:
            answer = requests.get(f"{box.url}/events?view=slots", stream=True, timeout=60)
            held.callback(answer.close)
            streams.append("event-stream" in answer.headers["Content-Type"])
            return sum(streams) == PLACES

        streams: list[bool] = []
        eventually(taken, f"{PLACES} streams are open")
        yield
