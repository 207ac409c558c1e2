"""Random-weight GGUF models that real llama.cpp loads in about 0.1 s: one chats, one embeds, one reranks.

The words are meaningless; shapes, streaming, limits and timings behave like those of any model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[np.float32]]

TEXT = (
    "the a an of to in on is are was and or cat dog car train paris france london capital city sat mat where how "
    "what model server load memory hello world good bad red green blue machine learning panda bear animal"
)
WORDS = TEXT.split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-:;()"
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"

WIDTH, HEADS, FEED_FORWARD, LAYERS = 64, 4, 128, 2
BERT_CONTEXT = 512
CHAT_CONTEXT = 65536
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def _random(seed: int) -> Callable[..., NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return lambda *shape: (rng.standard_normal(shape) * 0.1).astype(np.float32)


def _write(writer: gguf.GGUFWriter, tensors: Tensors) -> None:
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(writer: gguf.GGUFWriter, name: str, context: int) -> None:
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


# --- BERT: embeddings and reranking -----------------------------------------------------------------------------


def _bert_vocabulary() -> list[str]:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for letter in LETTERS:
        tokens += ["\u2581" + letter, letter]
    return tokens + [t for t in ("\u2581" + word for word in WORDS) if t not in tokens]


def _bert_tokenizer(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if i < 5 else NORMAL for i in range(len(tokens))])
    writer.add_token_type_count(2)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_mask_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _bert_tensors(vocabulary: int, *, rank: bool) -> Tensors:
    r = _random(0)
    ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    tensors: Tensors = {
        "token_embd.weight": r(vocabulary, WIDTH) * 5,
        "position_embd.weight": r(BERT_CONTEXT, WIDTH),
        "token_types.weight": r(2, WIDTH),
        "token_embd_norm.weight": ones,
        "token_embd_norm.bias": zeros,
    }
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors |= {block + part + ".weight": r(WIDTH, WIDTH), block + part + ".bias": zeros}
        tensors |= {
            block + "ffn_up.weight": r(FEED_FORWARD, WIDTH),
            block + "ffn_up.bias": np.zeros(FEED_FORWARD, np.float32),
            block + "ffn_down.weight": r(WIDTH, FEED_FORWARD),
            block + "ffn_down.bias": zeros,
        }
        for norm in ("attn_output_norm", "layer_output_norm"):
            tensors |= {block + norm + ".weight": ones, block + norm + ".bias": zeros}
    if rank:
        tensors |= {
            "cls.weight": r(WIDTH, WIDTH),
            "cls.bias": zeros,
            "cls.output.weight": r(1, WIDTH) * 5,
            "cls.output.bias": np.zeros(1, np.float32),
        }
    return tensors


def write_bert(path: Path, *, rank: bool = False) -> None:
    """An embedding model of 64 dimensions, or with `rank` a reranker; 512 tokens of context."""
    tokens = _bert_vocabulary()
    writer = gguf.GGUFWriter(path, "bert")
    _shape(writer, path.stem, BERT_CONTEXT)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if rank else gguf.PoolingType.MEAN)
    _bert_tokenizer(writer, tokens)
    if rank:
        writer.add_classifier_output_labels(["score"])
    _write(writer, _bert_tensors(len(tokens), rank=rank))


# --- Llama: chat and completions --------------------------------------------------------------------------------


def _chat_vocabulary() -> tuple[list[str], list[int]]:
    """Token texts and their types: control, 256 bytes, then letters and words that alone are ever generated."""
    pieces = list(LETTERS) + ["\u2581", "\n"] + ["\u2581" + word for word in WORDS]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    return tokens, types


def _chat_tensors(tokens: list[str]) -> Tensors:
    """Dimension 0 of every embedding is a large constant, so the output matrix can forbid tokens through it."""
    r = _random(1)
    embedding, output = r(len(tokens), WIDTH) * 5, r(len(tokens), WIDTH) * 5
    embedding[:, 0] = 10
    output[:, 0] = [0 if t.startswith("\u2581") and len(t) > 2 else -100 for t in tokens]
    ones = np.ones(WIDTH, np.float32)
    tensors: Tensors = {"token_embd.weight": embedding, "output_norm.weight": ones, "output.weight": output}
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[block + part + ".weight"] = r(WIDTH, WIDTH)
        tensors |= {
            block + "attn_norm.weight": ones,
            block + "ffn_norm.weight": ones,
            block + "ffn_gate.weight": r(FEED_FORWARD, WIDTH),
            block + "ffn_up.weight": r(FEED_FORWARD, WIDTH),
            block + "ffn_down.weight": r(WIDTH, FEED_FORWARD),
        }
    return tensors


def write_chat(path: Path, without: str | None = None) -> None:
    """A llama that answers known words and never ends by itself: only `max_tokens` or a full context stop it.

    Leaving a tensor out (`without`) makes a sound file that llama.cpp refuses to load.
    """
    tokens, types = _chat_vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    _shape(writer, path.stem, CHAT_CONTEXT)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    _write(writer, {name: values for name, values in _chat_tensors(tokens).items() if name != without})
