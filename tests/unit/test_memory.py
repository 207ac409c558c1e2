"""core/memory and adapters/memory: what a load needs and what the host has, on made-up trees and on real headers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from hal0app.adapters.memory import MemoryFiles
from hal0app.adapters.memory_use import MemoryUseTable
from hal0app.core.gguf import GgufHeader, read_header
from hal0app.core.memory import GIB, MARGIN, Card, Estimate, HostMemory, Shape, free, kv_bytes, needed, shape
from hal0app.core.model_file import ModelFile
from hal0app.core.slot_type import Device
from tests.support import models
from tests.unit.fakes import slot

MIB = 1024**2
LLAMA = GgufHeader(
    version=3, architecture="llama", name=None, context_length=131072, block_count=32, embedding_length=4096,
    head_count=32, head_count_kv=8, key_length=None, value_length=None, sliding_window=None, pooling_type=None,
    file_type=15, has_chat_template=True, tensor_count=291, data_offset=0, data_size=None,
)  # fmt: skip
GEMMA = replace(
    LLAMA, architecture="gemma3", block_count=18, embedding_length=640, head_count=4, head_count_kv=1, key_length=256,
    value_length=256, sliding_window=512,
)  # fmt: skip


def tree(root: Path, available_kb: int | None, **cards: dict[str, int | str]) -> MemoryFiles:
    """A /proc and /sys below `root`; each card has its mem_info files."""
    (root / "proc").mkdir()
    if available_kb is not None:
        (root / "proc/meminfo").write_text(
            f"MemTotal:  131072000 kB\nMemAvailable:  {available_kb} kB\nHugePages:  0\n"
        )
    for name, files in cards.items():
        folder = root / "sys/class/drm" / name / "device"
        folder.mkdir(parents=True)
        for file, value in files.items():
            (folder / f"mem_info_{file}").write_text(f"{value}\n")
    return MemoryFiles(root)


UMA: dict[str, int | str] = {
    "vram_total": 512 * MIB, "vram_used": 200 * MIB, "gtt_total": 96 * GIB, "gtt_used": 40 * GIB,
}  # fmt: skip


# -- have


def test_on_uma_the_gpu_has_its_carve_out_and_the_gtt(tmp_path: Path) -> None:
    host = tree(tmp_path, 80 * GIB // 1024, card1=UMA).host()
    assert host == HostMemory(80 * GIB, (Card(512 * MIB, 200 * MIB, 96 * GIB, 40 * GIB),), host.total)
    assert free(host, Device.GPU_VULKAN) == free(host, Device.GPU_ROCM) == 56 * GIB + 312 * MIB
    assert free(host, Device.CPU) == free(host, Device.NPU) == 80 * GIB


def test_gtt_is_only_worth_the_ram_it_can_be_made_of(tmp_path: Path) -> None:
    host = tree(tmp_path, 10 * GIB // 1024, card0=UMA).host()
    assert free(host, Device.GPU_VULKAN) == 10 * GIB + 312 * MIB


def test_without_a_device_the_roomier_place_counts(tmp_path: Path) -> None:
    assert free(tree(tmp_path, 80 * GIB // 1024, card0=UMA).host(), None) == 80 * GIB


def test_without_a_gpu_only_ram_is_known(tmp_path: Path) -> None:
    host = tree(tmp_path, 8 * GIB // 1024, card0={"vram_total": 1}).host()
    assert host == HostMemory(8 * GIB, total=host.total)
    assert (free(host, Device.GPU_ROCM), free(host, None)) == (None, 8 * GIB)


@pytest.mark.parametrize("damage", ["", "many", "-1"])
def test_numbers_that_make_no_sense_are_not_known(tmp_path: Path, damage: str) -> None:
    assert tree(tmp_path, None, card0={**UMA, "gtt_used": damage}).host() == HostMemory()


def test_files_that_cannot_be_read_are_not_known(tmp_path: Path) -> None:
    files = tree(tmp_path, None)
    (tmp_path / "proc/meminfo").mkdir()
    assert files.host() == HostMemory()
    assert MemoryFiles(tmp_path / "nowhere").host() == HostMemory()
    assert free(files.host(), None) is None


def test_a_process_gives_back_what_is_its_own(tmp_path: Path) -> None:
    files = tree(tmp_path, 1)
    (tmp_path / "proc/7").mkdir()
    status = "Name:\tllama-server\nVmRSS:\t  300 kB\nRssAnon:\t  90 kB\nRssFile:\t  200 kB\nRssShmem:\t  10 kB\n"
    (tmp_path / "proc/7/status").write_text(status)
    used = files.process(7)
    assert used is not None
    assert (used.resident, used.own) == (300 * 1024, 100 * 1024)
    assert files.process(8) is None


def test_this_process_and_this_host_are_read() -> None:
    own, host = MemoryFiles().process(os.getpid()), MemoryFiles().host()
    assert own is not None
    assert own.resident > own.own > MIB
    assert host.available is not None
    assert host.available > own.resident


# -- need: the numbers are those that llama.cpp (build 11669) logs for its KV buffers


@pytest.mark.parametrize(("parallel", "logged"), [(1, 4 * MIB), (3, 4_325_376)])
def test_the_kv_cache_is_what_llama_cpp_allocates(parallel: int, logged: int) -> None:
    with models.chat().open("rb") as file:
        header = read_header(file)
    assert kv_bytes(header, Shape(8000, parallel)) == logged


@pytest.mark.parametrize(("parallel", "logged"), [(1, 24 * MIB + 15 * MIB), (3, 24.75 * MIB + 45 * MIB)])
def test_layers_with_a_window_hold_the_window_and_a_batch(parallel: int, logged: float) -> None:
    assert kv_bytes(GEMMA, Shape(8000, parallel)) == logged


def test_a_window_is_not_made_use_of_with_swa_full_or_where_its_layers_are_not_known() -> None:
    whole = 18 * 2 * 256 * 2 * 8192
    assert kv_bytes(GEMMA, Shape(8192, whole=True)) == whole
    assert kv_bytes(replace(GEMMA, architecture="novel"), Shape(8192)) == whole


def test_the_header_says_itself_which_layers_have_a_window() -> None:
    each = 2 * 256 * 2
    listed = replace(GEMMA, architecture="novel", block_count=3, sliding_window_pattern=(1, 1, 0))
    assert kv_bytes(listed, Shape(8192)) == each * (1024 + 1024 + 8192)
    assert kv_bytes(replace(GEMMA, sliding_window_pattern=2), Shape(8192)) == each * 9 * (1024 + 8192)


def test_a_cache_of_eight_or_four_bits_is_smaller() -> None:
    assert kv_bytes(LLAMA, Shape(8192)) == 32 * 2 * 8 * 128 * 2 * 8192 == GIB
    load = shape(slot(ctx_size=8192, llamacpp_args="-fa on -ctk q8_0 --cache-type-v q4_0"), 131072)
    assert load == Shape(8192, 1, "q8_0", "q4_0")
    assert kv_bytes(LLAMA, load) == 32 * 8192 * (1024 * 34 // 32 + 1024 * 18 // 32)
    assert kv_bytes(LLAMA, replace(load, key_type="novel", value_type="f32")) == GIB // 2 * 3


def test_layers_that_keep_nothing_cost_nothing() -> None:
    assert kv_bytes(replace(LLAMA, head_count_kv=(8, *[0] * 31)), Shape(8192)) == GIB // 32
    assert kv_bytes(replace(LLAMA, full_attention_interval=4), Shape(8192)) == GIB // 4
    assert kv_bytes(replace(LLAMA, architecture="nomic-bert"), Shape(8192)) == 0


def test_without_kv_heads_every_head_counts() -> None:
    assert kv_bytes(replace(LLAMA, head_count_kv=None), Shape(8192)) == 4 * GIB


@pytest.mark.parametrize("unknown", ["block_count", "embedding_length", "head_count"])
def test_a_header_that_says_too_little_gives_no_figure(unknown: str) -> None:
    assert kv_bytes(replace(LLAMA, **{unknown: None}), Shape(8192)) is None  # type: ignore[arg-type]


def test_a_header_with_absurd_layers_is_not_counted_through() -> None:
    assert kv_bytes(replace(LLAMA, block_count=1 << 40), Shape(8192)) is None


def test_a_slot_without_a_context_counts_with_the_least_that_lemonade_chooses() -> None:
    assert (shape(slot(), 131072).context, shape(slot(), 512).context, shape(None, None).context) == (4096, 512, 4096)
    assert shape(slot(ctx_size=65536, max_in_flight=4), 512) == Shape(65536, 4)


def test_a_load_needs_its_file_its_cache_and_a_margin() -> None:
    file = ModelFile("/m.gguf", 5 * GIB, LLAMA)
    assert needed(file, 99.0, Shape(8192)) == 6 * GIB + MARGIN
    assert needed(replace(file, header=None), None, Shape(8192)) == 5 * GIB + MARGIN
    assert needed(None, 2.5, Shape(8192)) == 2_500_000_000 + MARGIN
    assert needed(None, None, Shape(8192)) is None


def test_what_is_not_known_fits() -> None:
    assert not Estimate(needs=10, free=4, would_free=5).fits
    assert Estimate(needs=10, free=4, would_free=6).fits
    assert all(one.fits for one in (Estimate(None, 0, 0), Estimate(10, None, 0), Estimate(10, 0, None)))


def test_a_header_tells_its_windows_and_its_hybrid_layers(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "novel")
    writer.add_array("novel.attention.sliding_window_pattern", [True, False])
    writer.add_uint32("novel.full_attention_interval", 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with (tmp_path / "m.gguf").open("rb") as file:
        header = read_header(file)
    assert (header.sliding_window_pattern, header.full_attention_interval) == ((1, 0), 4)


# -- learned


def test_a_measured_use_is_kept_by_model_and_options(tmp_path: Path) -> None:
    table = MemoryUseTable(tmp_path / "hal0.db")
    assert table.get("m", "a") is None
    table.put("m", "a", 5 * GIB)
    table.put("m", "b", 7 * GIB)
    table.put("m", "a", 6 * GIB)
    again = MemoryUseTable(tmp_path / "hal0.db")
    assert (again.get("m", "a"), again.get("m", "b"), again.get("n", "a")) == (6 * GIB, 7 * GIB, None)


def test_a_database_that_fails_is_no_obstacle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = MemoryUseTable(tmp_path / "absent" / "hal0.db")
    table.put("m", "a", 1)
    assert table.get("m", "a") is None
    assert "unable to open" in caplog.text
