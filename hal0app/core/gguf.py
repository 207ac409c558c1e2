"""Reads the header of a GGUF model file: what the model is, without its weights.

Facts of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian).
Reads are bounded and nothing is kept but the few values of `GgufHeader`, so a damaged or hostile file costs
neither memory nor a crash: it raises `GgufError`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

MAX_KEYS = 100_000
MAX_TENSORS = 1_000_000
MAX_ARRAY = 1 << 28
MAX_STRING = 1 << 24  # bytes; the longest real ones are chat templates of some 100 kB
MAX_KEPT_ARRAY = 4096  # elements; one per layer at most
MAX_DIMENSIONS = 8
MAX_DEPTH = 4
BLOCK = 1 << 20

STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

# ggml tensor type -> (elements per block, bytes per block); an absent type makes the data size unknown.
TENSOR_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip

Number = int | float | bool
Value = Number | str | tuple[Number, ...]


class GgufError(ValueError):
    """The bytes are not a readable GGUF: wrong magic or version, truncated, or a size beyond every reason."""


class GgufUnsupported(GgufError):
    """A GGUF of a kind that this reader does not know; it may be perfectly sound."""


class Readable(Protocol):
    """What `read_header` needs of a file opened in binary mode, or of `io.BytesIO`."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What the header says; None where it says nothing. Lengths count tokens, layers and elements, sizes bytes."""

    version: int
    architecture: str
    name: str | None
    context_length: int | None
    block_count: int | None
    embedding_length: int | None
    head_count: int | tuple[int, ...] | None
    head_count_kv: int | tuple[int, ...] | None
    key_length: int | None
    value_length: int | None
    sliding_window: int | None
    pooling_type: int | None
    file_type: int | None
    has_chat_template: bool
    tensor_count: int
    data_offset: int
    data_size: int | None
    sliding_window_pattern: int | tuple[int, ...] | None = None  # the period, or 1 for each layer with a window
    full_attention_interval: int | None = None  # only every n-th layer of a hybrid attends


class _Cursor:
    """Reads forward through a file in blocks; keeps at most the block in hand and the value being read."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._dropped = 0

    @property
    def position(self) -> int:
        return self._dropped + self._at

    def _need(self, size: int) -> None:
        """Have `size` bytes in hand from the current place on."""
        missing = size - (len(self._buffer) - self._at)
        if missing <= 0:
            return
        parts = [self._buffer[self._at :]]
        self._dropped += self._at
        while missing > 0:
            part = self._source.read(max(min(missing, MAX_STRING), BLOCK))
            if not part:
                raise GgufError(f"truncated: the header goes on past byte {self.position}")
            parts.append(part)
            missing -= len(part)
        self._buffer, self._at = b"".join(parts), 0

    def take(self, size: int) -> bytes:
        self._need(size)
        self._at += size
        return self._buffer[self._at - size : self._at]

    def skip(self, size: int) -> None:
        while size > 0:
            step = min(size, BLOCK)
            self._need(step)
            self._at += step
            size -= step

    def number(self, layout: str) -> Number:
        value: Number = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def count(self, limit: int, what: str) -> int:
        value = int(self.number("<Q"))
        if value > limit:
            raise GgufError(f"absurd size: {value} {what} (limit {limit})")
        return value

    def text(self) -> str:
        return self.take(self.count(MAX_STRING, "bytes in a string")).decode("utf-8", "replace")

    def skip_strings(self, number: int) -> None:
        for _ in range(number):
            self.skip(self.count(MAX_STRING, "bytes in a string"))


def _array(cursor: _Cursor, depth: int = 1) -> tuple[Number, ...] | None:
    """A short array of numbers; every other array is passed over and gives None."""
    if depth > MAX_DEPTH:
        raise GgufError("absurd nesting of arrays")
    kind, length = int(cursor.number("<I")), cursor.count(MAX_ARRAY, "elements in an array")
    layout = SCALARS.get(kind)
    if layout is not None:
        if length <= MAX_KEPT_ARRAY:
            return tuple(cursor.number(layout) for _ in range(length))
        cursor.skip(length * struct.calcsize(layout))
    elif kind == STRING:
        cursor.skip_strings(length)
    elif kind == ARRAY:
        for _ in range(length):
            _array(cursor, depth + 1)
    else:
        raise GgufUnsupported(f"unknown value type {kind}")
    return None


def _value(cursor: _Cursor) -> Value | None:
    kind = int(cursor.number("<I"))
    if kind == STRING:
        return cursor.text()
    if kind == ARRAY:
        return _array(cursor)
    if kind not in SCALARS:
        raise GgufUnsupported(f"unknown value type {kind}")
    return cursor.number(SCALARS[kind])


def _tensor_end(cursor: _Cursor) -> int | None:
    """Pass over one tensor's description; the byte, relative to the data, where it ends (None: unknown type)."""
    cursor.text()
    dimensions = int(cursor.number("<I"))
    if dimensions > MAX_DIMENSIONS:
        raise GgufError(f"absurd size: a tensor of {dimensions} dimensions")
    elements = 1
    for _ in range(dimensions):
        elements *= int(cursor.number("<Q"))
    layout = TENSOR_TYPES.get(int(cursor.number("<I")))
    offset = int(cursor.number("<Q"))
    if layout is None:
        return None
    per_block, block_bytes = layout
    return offset + -(-elements // per_block) * block_bytes


def _data_size(cursor: _Cursor, tensors: int) -> int | None:
    size: int | None = 0
    for _ in range(tensors):
        end = _tensor_end(cursor)
        size = None if size is None or end is None else max(size, end)
    return size


def _integer(value: Value | None) -> int | None:
    return int(value) if isinstance(value, int) else None


def _per_layer(value: Value | None) -> int | tuple[int, ...] | None:
    if isinstance(value, tuple):
        return tuple(int(element) for element in value)
    return _integer(value)


def read_header(source: Readable, file_size: int | None = None) -> GgufHeader:
    """Read the header from the start of `source`.

    With `file_size` (bytes) the tensors must also fit into the file. Raises `GgufError`, and nothing else but
    what `source.read` itself raises.
    """
    cursor = _Cursor(source)
    if cursor.take(len(MAGIC)) != MAGIC:
        raise GgufError("not a GGUF file: it does not begin with the letters GGUF")
    version = int(cursor.number("<I"))
    if version not in VERSIONS:
        raise GgufUnsupported(f"GGUF version {version} is not supported (only {VERSIONS})")
    tensors, keys = cursor.count(MAX_TENSORS, "tensors"), cursor.count(MAX_KEYS, "keys")
    values: dict[str, Value | None] = {}
    for _ in range(keys):
        key, value = cursor.text(), _value(cursor)
        if not key.startswith("tokenizer.") or key == "tokenizer.chat_template":
            values[key] = value if key != "tokenizer.chat_template" else True
    data_size = _data_size(cursor, tensors)
    alignment = _integer(values.get("general.alignment")) or DEFAULT_ALIGNMENT
    data_offset = -(-cursor.position // alignment) * alignment
    if file_size is not None and data_offset + (data_size or 0) > file_size:
        raise GgufError(f"truncated: {file_size} bytes of the {data_offset + (data_size or 0)} that its tensors need")
    return _header(version, tensors, values, data_offset, data_size)


def _header(
    version: int, tensors: int, values: dict[str, Value | None], data_offset: int, data_size: int | None
) -> GgufHeader:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str):
        raise GgufError("the header names no general.architecture")
    name = values.get("general.name")

    def own(key: str) -> Value | None:
        return values.get(f"{architecture}.{key}")

    return GgufHeader(
        version=version,
        architecture=architecture,
        name=name if isinstance(name, str) else None,
        context_length=_integer(own("context_length")),
        block_count=_integer(own("block_count")),
        embedding_length=_integer(own("embedding_length")),
        head_count=_per_layer(own("attention.head_count")),
        head_count_kv=_per_layer(own("attention.head_count_kv")),
        key_length=_integer(own("attention.key_length")),
        value_length=_integer(own("attention.value_length")),
        sliding_window=_integer(own("attention.sliding_window")),
        pooling_type=_integer(own("pooling_type")),
        file_type=_integer(values.get("general.file_type")),
        has_chat_template="tokenizer.chat_template" in values,
        tensor_count=tensors,
        data_offset=data_offset,
        data_size=data_size,
        sliding_window_pattern=_per_layer(own("attention.sliding_window_pattern")),
        full_attention_interval=_integer(own("full_attention_interval")),
    )
