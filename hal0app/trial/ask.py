"""Short HTTP questions of the trial run to the programs it starts or finds."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


def get(url: str, timeout_s: float = 5.0, key: str | None = None) -> tuple[int, bytes] | None:
    """Status and body of GET `url`, or None when nobody answers HTTP there within `timeout_s` per read."""
    parts = urlsplit(url)
    connection = CONNECTIONS[parts.scheme](parts.netloc, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        connection.request("GET", parts.path or "/", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def get_json(url: str, timeout_s: float = 30.0, key: str | None = None) -> Any:
    """The JSON body of a 200 answer to GET `url`, else None."""
    answer = get(url, timeout_s, key)
    if answer is None or answer[0] != 200:
        return None
    return json.loads(answer[1])
