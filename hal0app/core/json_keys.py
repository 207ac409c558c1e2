"""How many keys a JSON object has at its top, counted before anything is made of them.

Each key of an object that is parsed costs a microsecond in which nothing else runs, and memory beyond its own length;
so a body is asked first, in pieces of work that are small each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST = 1000  # keys at the top that a request may have
PIECE = 1 << 15  # bytes looked at before others have a turn
UNSUSPICIOUS = 4 * MOST  # colons: with no more than these there cannot be many keys

_MARK = re.compile(rb'["{}\[\]:]')
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


def is_suspicious(raw: bytes) -> bool:
    """Whether the keys are worth counting."""
    return raw.count(b":") > UNSUSPICIOUS


def counting(raw: bytes) -> Iterator[int]:
    """The keys at the top seen so far, after every piece; of what is no JSON any figure."""
    at = depth = keys = 0
    inside = False  # a text
    while at < len(raw):
        end = min(at + PIECE, len(raw))
        while at < end:
            if inside:
                at, inside = _in_text(raw, at, end)
                continue
            mark = _MARK.search(raw, at, end)
            if mark is None:
                at = end
                break
            at, found = mark.end(), mark[0]
            inside = found == b'"'
            depth += (found in b"{[") - (found in b"}]")
            keys += found == b":" and depth == 1
        yield keys


def _in_text(raw: bytes, at: int, end: int) -> tuple[int, bool]:
    """Where to go on, and whether that is still within the text."""
    stop = _TEXT.match(raw, at, end)
    at = stop.end() if stop else end
    sign = raw[at : at + 1]
    return at + {b'"': 1, b"\\": 2}.get(sign, 0), sign != b'"'
