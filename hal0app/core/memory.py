"""How much memory a load needs and how much there is, in bytes.

Need: the file, plus the KV cache, plus a margin for llama.cpp's compute buffers and its program. The cache is what
llama.cpp allocates at once (checked against its log): per layer and cell a key and a value for each KV head; the
context is split over the parallel sequences, each rounded up to 256 cells. Layers with a sliding window hold the
window and one batch where the header or the table says which layers those are; else they count in full, so that the
figure is an upper bound. A measured use of an earlier, equal load replaces all of it.

Have: on the CPU `MemAvailable` of /proc/meminfo. On an amdgpu the carve-out (`mem_info_vram_*`) and the GTT
(`mem_info_gtt_*`), the latter only as far as RAM is available, of which it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hal0app.core import arguments
from hal0app.core.gguf import TENSOR_TYPES, GgufHeader
from hal0app.core.model_file import ModelFile
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device

GIB = 1024**3
GB = 1000**3
MARGIN = 512 * 1024**2
SPARED = 0.1  # of the memory, by a load whose context hal0 chooses

CELLS = 256  # llama.cpp rounds a sequence's context up to a multiple of this
MOST_LAYERS = 10_000  # a header that claims more is not believed
BATCH = 512  # its default physical batch, which a window's cells have to take besides
LEAST_CONTEXT = 4096  # tokens of a sequence below which hal0 does not go by itself
UNSTATED_CONTEXT = 4096  # tokens; what lemond chooses at least when a load names none
DEFAULT_TYPE = "f16"
TYPE_IDS = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
KEY_TYPE, VALUE_TYPE = ("-ctk", "--cache-type-k"), ("-ctv", "--cache-type-v")

# Every n-th layer attends to the whole context, the others to a window (llama.cpp's src/models, `swa_period`).
WINDOW_PERIODS = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "cohere2": 4,
    "gpt-oss": 2,
    "exaone4": 4,
    "afmoe": 4,
    "smallthinker": 4,
}


@dataclass(frozen=True)
class Card:
    """One amdgpu's memory."""

    vram_total: int
    vram_used: int
    gtt_total: int
    gtt_used: int


@dataclass(frozen=True)
class HostMemory:
    """What the host has, in bytes; None is what could not be read."""

    available: int | None = None
    cards: tuple[Card, ...] = ()
    total: int | None = None


@dataclass(frozen=True)
class ProcessMemory:
    """A process's resident bytes, and those that come free when it ends (file pages are reclaimable anyway)."""

    resident: int
    own: int


@dataclass(frozen=True)
class Shape:
    """What the KV cache of one load depends on: tokens in all, parallel sequences, llama.cpp's element types."""

    context: int
    parallel: int = 1
    key_type: str = DEFAULT_TYPE
    value_type: str = DEFAULT_TYPE
    whole: bool = False  # --swa-full: windows are not made use of


@dataclass(frozen=True)
class Estimate:
    """The verdict on one load. None is what is not known; `learned`: `needs` was measured in an earlier load."""

    needs: int | None = None
    free: int | None = None
    would_free: int | None = None
    learned: bool = False

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it: what is not known does not."""
        if self.needs is None or self.free is None or self.would_free is None:
            return True
        return self.needs <= self.free + self.would_free

    @property
    def roomy(self) -> bool:
        """Whether it is known to fit and to leave a part of the memory to others."""
        if self.needs is None or self.free is None or self.would_free is None:
            return False
        return self.needs <= (self.free + self.would_free) * (1 - SPARED)

    def as_json(self) -> dict[str, Any]:
        return {"needs": self.needs, "free": self.free, "would_free": self.would_free, "learned": self.learned}


NO_ESTIMATE = Estimate()


def shape(slot: SlotConfig | None, own_context: int | None, ctx_size: int | None = None) -> Shape:
    """The shape a slot's load has with `ctx_size` tokens; None: the slot's, else the least that lemond may choose."""
    least = min(own_context or UNSTATED_CONTEXT, UNSTATED_CONTEXT)
    if slot is None:
        return Shape(ctx_size or least)
    args = slot.llamacpp_args
    return Shape(
        context=ctx_size or slot.ctx_size or least,
        parallel=slot.max_in_flight,
        key_type=arguments.value(args, KEY_TYPE) or DEFAULT_TYPE,
        value_type=arguments.value(args, VALUE_TYPE) or DEFAULT_TYPE,
        whole="--swa-full" in arguments.flags(args),
    )


def contexts(own_context: int, parallel: int) -> list[int]:
    """What a load that states no context may ask for, in tokens over all sequences, the most first.

    Each sequence gets the model's own context, or that halved as often as leaves it LEAST_CONTEXT.
    """
    each = [own_context]
    while each[-1] // 2 >= LEAST_CONTEXT:
        each.append(each[-1] // 2)
    return [one * parallel for one in each]


def _bytes(elements: int, type_: str) -> int:
    per_block, block = TENSOR_TYPES[TYPE_IDS.get(type_, TYPE_IDS[DEFAULT_TYPE])]
    return -(-elements * block // per_block)


def _rounded(cells: int) -> int:
    return -(-cells // CELLS) * CELLS


def _at(value: int | tuple[int, ...] | None, layer: int) -> int | None:
    if isinstance(value, tuple):
        return value[layer] if layer < len(value) else None
    return value


def _cached_layers(header: GgufHeader) -> Callable[[int], bool]:
    """Whether a layer keeps keys and values at all: a hybrid's recurrent layers do not, nor do encoders."""
    if "bert" in header.architecture or header.architecture == "gemma-embedding":
        return lambda layer: False
    interval = header.full_attention_interval
    return lambda layer: not interval or layer % interval == interval - 1


def _windowed_layers(header: GgufHeader) -> Callable[[int], bool]:
    pattern = header.sliding_window_pattern or WINDOW_PERIODS.get(header.architecture)
    if not header.sliding_window or not pattern:
        return lambda layer: False
    if isinstance(pattern, tuple):
        return lambda layer: bool(_at(pattern, layer))
    return lambda layer: layer % pattern < pattern - 1


def kv_bytes(header: GgufHeader, load: Shape) -> int | None:
    """The KV cache of a load; None when the header does not say enough."""
    heads, width = header.head_count, header.embedding_length
    most = max(heads) if isinstance(heads, tuple) else heads
    head = header.key_length or (width // most if width and most else None)
    if header.block_count is None or header.block_count > MOST_LAYERS or head is None:
        return None
    sequence = _rounded(-(-load.context // load.parallel))
    window = min(sequence, _rounded((header.sliding_window or 0) + BATCH))
    cached, windowed = _cached_layers(header), _windowed_layers(header)
    total = 0
    for layer in filter(cached, range(header.block_count)):
        kv_heads = _at(header.head_count_kv, layer)
        number = kv_heads if kv_heads is not None else _at(heads, layer) or 0
        cells = window if windowed(layer) and not load.whole else sequence
        each = _bytes(number * head, load.key_type) + _bytes(number * (header.value_length or head), load.value_type)
        total += each * cells * load.parallel
    return total


def needed(file: ModelFile | None, size_gb: float | None, load: Shape) -> int | None:
    """What a load of the file needs; without a readable file at least the model's size as Lemonade states it."""
    if file is not None:
        return file.size + ((file.header and kv_bytes(file.header, load)) or 0) + MARGIN
    return None if size_gb is None else round(size_gb * GB) + MARGIN


def _on_cards(host: HostMemory) -> int | None:
    def free(card: Card) -> int:
        gtt = card.gtt_total - card.gtt_used
        return card.vram_total - card.vram_used + (gtt if host.available is None else min(gtt, host.available))

    return max(map(free, host.cards), default=None)


def _in_ram(host: HostMemory) -> int | None:
    return host.available


def _roomiest(host: HostMemory) -> int | None:
    """Where Lemonade chooses the device, whatever has more."""
    return max((free for free in (_in_ram(host), _on_cards(host)) if free is not None), default=None)


POOLS: dict[Device | None, Callable[[HostMemory], int | None]] = {
    Device.CPU: _in_ram,
    Device.NPU: _in_ram,
    Device.GPU_ROCM: _on_cards,
    Device.GPU_VULKAN: _on_cards,
    None: _roomiest,
}


def free(host: HostMemory, device: Device | None) -> int | None:
    """What is free where a load for `device` goes; None when it cannot be told."""
    return POOLS[device](host)
