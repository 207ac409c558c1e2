"""The GGUF header reader, on files that the gguf library writes and on damaged ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from hal0app.core.gguf import GgufError, read_header
from tests.support import models


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("A model")
    writer.add_context_length(8192)
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count([4, 4, 8])
    writer.add_head_count_kv(2)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token {i}" for i in range(5000)])
    writer.add_token_scores([0.5] * 5000)
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", np.zeros((32, 64), np.float32))
    writer.add_tensor("output.weight", np.zeros((32, 68), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_a_written_header_is_read_back(written: bytes) -> None:
    header = read_header(io.BytesIO(written), len(written))
    assert (header.version, header.architecture, header.name) == (3, "llama", "A model")
    assert (header.context_length, header.block_count, header.embedding_length) == (8192, 3, 64)
    assert (header.head_count, header.head_count_kv) == ((4, 4, 8), 2)
    assert (header.file_type, header.pooling_type, header.has_chat_template) == (7, None, True)
    assert header.tensor_count == 2


def test_the_data_of_known_tensor_types_ends_at_the_end_of_the_file(written: bytes) -> None:
    header = read_header(io.BytesIO(written))
    assert header.data_size is not None
    assert header.data_offset + header.data_size == len(written)


@pytest.mark.parametrize(
    ("model", "architecture", "pooling"),
    [(models.chat, "llama", None), (models.embed, "bert", 1), (models.rerank, "bert", 4)],
)
def test_the_tiny_models_say_what_they_are(model: Callable[[], Path], architecture: str, pooling: int | None) -> None:
    with model().open("rb") as file:
        header = read_header(file)
    assert (header.architecture, header.pooling_type) == (architecture, pooling)


def test_a_header_cut_anywhere_is_an_error_and_never_another_exception(written: bytes) -> None:
    end = read_header(io.BytesIO(written)).data_offset - 64
    for size in [*range(600), *range(600, end, 997)]:
        with pytest.raises(GgufError):
            read_header(io.BytesIO(written[:size]))


def test_a_file_shorter_than_its_tensors_is_truncated(written: bytes) -> None:
    with pytest.raises(GgufError, match="truncated"):
        read_header(io.BytesIO(written), len(written) - 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"PK\x03\x04 is a zip", "not a GGUF"),
        (b"GGUF" + struct.pack("<I", 9), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 1), "absurd size"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 62), "absurd size"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "absurd size"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 77), "unknown value type"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 8, 1 << 62), "absurd size"),
        (b"GGUF" + struct.pack("<IQQQ1sII", 3, 0, 1, 1, b"k", 9, 9) + struct.pack("<QI", 1, 9) * 8, "nesting"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no general.architecture"),
    ],
)
def test_what_is_not_a_model_is_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(GgufError, match=words):
        read_header(io.BytesIO(data))


def test_an_array_is_passed_over_in_blocks(written: bytes) -> None:
    """A source that gives one byte at a time is read like a file."""

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    assert read_header(Trickle(written)) == read_header(io.BytesIO(written))
