"""What an OpenAI-shaped answer tells without being parsed."""

from __future__ import annotations

import json
import re

# A quote inside a JSON string is escaped, so that an unescaped one begins a key.
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*("(?:[^"\\]|\\.)*")')


def answered_by(head: bytes) -> str | None:
    """The model that an answer, or the first event of a stream, names; None when it names none."""
    found = _MODEL.search(head)
    if found is None:
        return None
    try:
        name = json.loads(found[1])
    except ValueError:
        return None
    return name if isinstance(name, str) else None
