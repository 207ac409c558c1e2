"""Which answers llama.cpp's own servers are generating now, asked of each at its `/slots`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from hal0app.adapters import plain_http
from hal0app.core.residency import Resident

TIMEOUT_S = 4.0  # a server that works on a long prompt answers between two batches


def running(residents: Iterable[Resident]) -> frozenset[str]:
    """One name for every answer that is being generated; a server that does not tell has none."""
    found: set[str] = set()
    asked = [one for one in residents if one.recipe == "llamacpp" and one.backend_url]
    threads = [threading.Thread(target=_collect, args=(one, found), daemon=True) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S + 1)
    return frozenset(found.copy())


def _collect(resident: Resident, found: set[str]) -> None:
    try:
        found.update(_tasks(resident))
    except (OSError, ValueError, TypeError, AttributeError):
        return


def _tasks(resident: Resident) -> Iterator[str]:
    parts = urlsplit(resident.backend_url)
    _, body = plain_http.get(parts.hostname or "", parts.port or 80, "/slots", {}, TIMEOUT_S)
    slots = json.loads(body)
    for slot in slots:
        if slot.get("is_processing"):
            yield f"{resident.model} {resident.pid} {slot.get('id')} {slot.get('id_task')}"
