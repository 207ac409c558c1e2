"""What an OpenAI-shaped answer tells without being parsed."""

from __future__ import annotations

import re

import msgspec

# A quote inside a JSON string is escaped, so that an unescaped one begins a key.
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*("(?:[^"\\]|\\.)*")')


def answered_by(head: bytes) -> str | None:
    """The model that an answer, or the first event of a stream, names; None when it names none."""
    found = _MODEL.search(head)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[1], type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
