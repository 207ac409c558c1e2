"""What is kept of one request, and what many of them come to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.core.ending import Ending
from hal0app.core.endpoints import BY_NAME, OPEN

OTHER = "other"
LONGEST_NAME = 200
LONGEST_ID = 128
_ID = re.compile(r"[\x21-\x7e]{1,128}")

# How a request ended is an Ending, or this: hal0 gave an error of its own instead.
REFUSED = "refused"

# The code of an answer that an upstream did not end as it should; with the status of its head nothing else tells.
CODES_OF_ENDS: dict[str, str] = {
    Ending.UPSTREAM_BROKEN: "upstream.protocol",
    Ending.UPSTREAM_SILENT: "upstream.timeout",
    Ending.STOPPED: "system.stopping",
}


@dataclass(frozen=True)
class RequestRecord:
    """One inference request. None is what is not known.

    `ts` is when it was accepted (Unix seconds). `model` is what served it, or what was asked for when nothing did.
    `ttft_ms` runs from there to the first event with content, `queue_ms` is the wait for a place on its model,
    `load_ms` the wait for the model itself. `estimated`: `tokens_out` is a count of events. `error_code` is hal0's or
    the upstream's word. `seq` grows by one with every record that is kept.
    """

    ts: float
    id: str
    endpoint: str
    status: int
    outcome: str
    total_ms: int
    client: str = ""
    agent: str | None = None
    slot: str | None = None
    model: str | None = None
    route: str | None = None
    path: str | None = None
    queue_ms: int | None = None
    load_ms: int | None = None
    ttft_ms: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    estimated: bool = False
    tokens_per_s: float | None = None
    error_code: str | None = None
    replayed: bool = False
    seq: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The record as `/api/requests` shows it."""
        return {**self.__dict__, "ts": round(self.ts, 3)}


@dataclass(frozen=True)
class Filters:
    """Which records are wanted, newest first; None does not filter. `status` is a range, `since` and `before` a `seq`.

    `every`: of the records only those whose `seq` it divides.
    """

    limit: int = 100
    since: int = 0
    before: int | None = None
    slot: str | None = None
    model: str | None = None
    agent: str | None = None
    status: tuple[int, int] | None = None
    every: int = 1


@dataclass(frozen=True)
class Summary:
    """Many requests in a few figures, times in milliseconds. None: no request told it.

    Percentiles and `tokens_per_s` (the median of the answers') are of answered requests, those with a status below 400.
    """

    requests: int
    errors: int
    tokens_in: int
    tokens_out: int
    ttft_p50: int | None = None
    ttft_p95: int | None = None
    total_p50: int | None = None
    total_p95: int | None = None
    tokens_per_s: float | None = None

    def as_json(self, seconds: float) -> dict[str, Any]:
        """The figures of a window of so many seconds."""
        return {
            "requests": self.requests,
            "requests_per_s": round(self.requests / seconds, 4),
            "errors": self.errors,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "tokens_out_per_s": round(self.tokens_out / seconds, 2),
            "ttft_ms": {"p50": self.ttft_p50, "p95": self.ttft_p95},
            "total_ms": {"p50": self.total_p50, "p95": self.total_p95},
            "tokens_per_s": self.tokens_per_s,
        }


Summaries = Mapping[str, Summary]


@dataclass(frozen=True)
class Use:
    """How much a model was asked lately and when last (Unix seconds), as far as answers are on record."""

    lately: int
    last: float


def endpoint_name(path: str) -> str:
    """One word for the path after `/v1/`, out of a bounded set."""
    endpoint = BY_NAME.get(path)
    if endpoint is not None:
        return endpoint.path
    return path if path in OPEN["POST"] else OTHER


def is_request_id(text: str) -> bool:
    """Whether a client's id of a request may be kept and sent back: visible ASCII, not too long."""
    return _ID.fullmatch(text) is not None


def cut(text: str | None, longest: int = LONGEST_NAME) -> str | None:
    """Text from outside as it may be stored; None when there is none."""
    return text[:longest].encode("utf-8", "replace").decode() if text else None
