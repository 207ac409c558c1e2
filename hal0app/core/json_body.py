"""A request's JSON body, read no further than is needed: which keys it has, where their values are, which model.

Values stay the bytes they were, so that big numbers, escapes and order reach the backend as the client wrote them.
One pass in C over tens of MB takes some 10 ms, where a full parse takes up to a second in which nothing else runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

BOM = b"\xef\xbb\xbf"
SCALAR_BYTES = 1024  # longer values are nobody's option
MENDED_BYTES = 1 << 20  # larger bodies are not searched for halves of characters, nor for the exact place of a mistake

_NESTS = (b"[", b"{")
_EMPTY = re.compile(rb'null|""|\[\s*\]')
_POSITION = re.compile(r"\(byte (\d+)\)")
# `\ud83d` without its other half: an escape that no UTF-8 can say, and that no backend takes.
_HALF = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:"
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|"
    rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_READ = msgspec.json.Decoder(dict[str, Raw])


class NotJson(ValueError):
    """The bytes are no JSON object; the text says what is wrong and where."""


@dataclass
class JsonBody:
    """A JSON object: `raw` as it goes on, `fields` its values as bytes (of a key that is there twice, the last).

    `said` is what was last put in as its model.
    """

    raw: bytes
    fields: dict[str, Raw]
    said: str | None = None

    def lacks(self, name: str) -> bool:
        """Whether a field is absent, null, an empty text or an empty list."""
        value = self.fields.get(name)
        return value is None or _EMPTY.fullmatch(memoryview(value)) is not None

    def scalars(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of the named fields that are texts, numbers, booleans or null of at most 1024 bytes, parsed.

        A number beyond a float's reach is left out: what it means is the backend's to say.
        """
        told: dict[str, Any] = {}
        for name in names:
            value = self.fields.get(name)
            if value is None or _size(value) > SCALAR_BYTES:
                continue
            text = bytes(memoryview(value))
            if text.startswith(_NESTS):
                continue
            try:
                told[name] = msgspec.json.decode(text)
            except msgspec.DecodeError:
                continue
        return told

    def renamed(self, model: str) -> bytes:
        """The object with this `model`; every other value keeps its bytes and its place."""
        return msgspec.json.encode({**self.fields, "model": model})

    def sent_as(self, model: str, came_as: object) -> bytes:
        """The object with this `model`, where `came_as` is what it said at first.

        The bytes before are given up, so that a long prompt is held once, whatever its model is called.
        """
        if model != (self.said or came_as):
            self.fields = self.fields or _fields(self.raw)
            self.raw, self.fields, self.said = self.renamed(model), {}, model
        return self.raw

    def is_name(self, name: str) -> bool:
        """Whether a field is absent, null or a text."""
        value = self.fields.get(name)
        return value is None or bytes(memoryview(value)[:1]) in (b'"', b"n")

    def is_long(self, name: str) -> bool:
        """Whether a field has more than 1024 bytes, so that it is none of the scalars."""
        value = self.fields.get(name)
        return value is not None and _size(value) > SCALAR_BYTES


def read(raw: bytes) -> JsonBody:
    """The object in `raw`. Raises NotJson."""
    raw = raw.removeprefix(BOM)
    try:
        return JsonBody(raw, _fields(raw))
    except NotJson:
        mended = _HALF.sub(rb"\1\\ufffd", raw) if len(raw) <= MENDED_BYTES else raw
        if mended == raw:
            raise
    return JsonBody(mended, _fields(mended))


def _size(value: Raw) -> int:
    return memoryview(value).nbytes


def _fields(raw: bytes) -> dict[str, Raw]:
    try:
        if not raw.isascii():
            raw.decode()  # what is skipped is not looked at as text
        return _READ.decode(raw)
    except UnicodeDecodeError as problem:
        raise NotJson(f"the body is not valid JSON: it is not UTF-8 ({_place(raw, problem.start)})") from None
    except RecursionError:
        raise NotJson("the body is not valid JSON: it is nested too deeply") from None
    except msgspec.ValidationError:
        raise NotJson("the body must be a JSON object") from None
    except msgspec.DecodeError as problem:
        raise NotJson(f"the body is not valid JSON ({_wrong(raw, problem)})") from None


def _wrong(raw: bytes, problem: msgspec.DecodeError) -> str:
    """Where the mistake is; of a large body only about where, for an exact answer takes long."""
    if len(raw) <= MENDED_BYTES:
        try:
            json.loads(raw)
        except json.JSONDecodeError as exact:
            return f"line {exact.lineno}, column {exact.colno}"
        except (ValueError, RecursionError):
            pass
    found = _POSITION.search(str(problem))
    return _place(raw, int(found[1]) if found else len(raw))


def _place(raw: bytes, position: int) -> str:
    line = raw.count(b"\n", 0, position) + 1
    column = position - (raw.rfind(b"\n", 0, position) + 1) + 1
    return f"line {line}, column {column}"
