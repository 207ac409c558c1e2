"""How many tokens an answer says it took: OpenAI's and Anthropic's `usage`, llama.cpp's `timings`.

They are looked for in parts of an answer that may be cut anywhere, so that the text as a whole need not be JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A quote inside a JSON string is escaped, so that no text of a model looks like this.
_NAMED = re.compile(rb'"(usage|timings)"\s*:\s*(?=\{)')
# Anthropic's first event counts the prompt; what it says of the output is not the answer's.
_OPENING = b'"message_start"'

# The fields that add up to the whole prompt, from its cache or not; the first row of which there is one counts.
PROMPT = (
    ("prompt_tokens",),
    ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    ("prompt_n", "cache_n"),
)
OUTPUT = (("completion_tokens",), ("output_tokens",), ("predicted_n",))
MOST = 1 << 40
FASTEST = 1e6  # tokens per second


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt and of the output, and the output's tokens per second; None is what was not told."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    per_s: float | None = None


FIELDS = ("tokens_in", "tokens_out", "per_s")
_DECODER = json.JSONDecoder()


def read(parts: Iterable[bytes]) -> Usage:
    """What the parts tell, later ones over earlier ones; `usage` is believed before `timings`."""
    told: dict[tuple[str, str], Any] = {}
    for part in filter(None, parts):
        for name, told_by in _objects(part):
            found = {"tokens_in": _sum(told_by, PROMPT), "tokens_out": _sum(told_by, OUTPUT), "per_s": _speed(told_by)}
            if _OPENING in part:
                found["tokens_out"] = None
            told.update({(name, field): value for field, value in found.items() if value is not None})
    return Usage(*(told.get(("usage", field), told.get(("timings", field))) for field in FIELDS))


def _objects(text: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for named in _NAMED.finditer(text):
        try:
            value, _ = _DECODER.raw_decode(text[named.end() :].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield named[1].decode(), value


def _usage(fields: Mapping[str, Any]) -> Usage:
    return Usage(_sum(fields, PROMPT), _sum(fields, OUTPUT), _speed(fields))


def _speed(fields: Mapping[str, Any]) -> float | None:
    """Tokens per second; a single token has none."""
    per_s = fields.get("predicted_per_second")
    if not isinstance(per_s, int | float) or isinstance(per_s, bool) or not 0 < per_s < FASTEST:
        return None
    return float(per_s) if (_count(fields, "predicted_n") or 0) > 1 else None


def _sum(fields: Mapping[str, Any], rows: tuple[tuple[str, ...], ...]) -> int | None:
    for row in rows:
        first = _count(fields, row[0])
        if first is not None:
            return first + sum(_count(fields, name) or 0 for name in row[1:])
    return None


def _count(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None
