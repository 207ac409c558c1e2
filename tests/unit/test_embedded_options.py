"""How a load's options come together, and how a child reads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hal0app.embedded import child
from hal0app.embedded.catalogue import Model
from hal0app.embedded.config import DEFAULTS
from hal0app.embedded.errors import StartError
from hal0app.embedded.options import merge_args, resolve

CHAT = Model("chat-a", "extra.chat-a", Path("/models/chat-a.gguf"), "extra_models_dir", ("custom", "chat"), 4096)
EMBED = Model("embed-a", "user.embed-a", Path("/models/e.gguf"), "local_path", ("embeddings",), 512)


@pytest.mark.parametrize(
    ("configured", "requested", "merged"),
    [
        ("", "", ""),
        ("--threads 2 --parallel 1", "", "--threads 2 --parallel 1"),
        ("", "--temp 0.5", "--temp 0.5"),
        ("--parallel 1 --threads 2", "--threads 1 --temp 0.5", "--parallel 1 --temp 0.5 --threads 1"),
        ("--seed -1", "--no-warmup", "--no-warmup --seed -1"),
    ],
)
def test_args_merge_flag_by_flag(configured: str, requested: str, merged: str) -> None:
    assert merge_args(configured, requested) == merged


def test_an_embedding_model_gets_the_larger_default_context() -> None:
    assert (resolve(CHAT, DEFAULTS, {}).ctx_size, resolve(EMBED, DEFAULTS, {}).ctx_size) == (4096, 8192)


def test_the_command_tells_the_type() -> None:
    assert "--embeddings" in resolve(EMBED, DEFAULTS, {}).command(EMBED)
    assert "--embeddings" not in resolve(CHAT, DEFAULTS, {}).command(CHAT)


@pytest.mark.parametrize("args", ["--port 1", "-m x", "--ctx-size 1", "--temp 1 --jinja", "--ctx-size=1"])
def test_reserved_flags_are_refused_and_wipe(args: str) -> None:
    with pytest.raises(StartError, match="managed by Lemonade") as refused:
        resolve(CHAT, DEFAULTS, {"llamacpp_args": args}).command(CHAT)
    assert refused.value.wipes


def _params() -> Any:
    sampling = SimpleNamespace(temp=0.8)
    return SimpleNamespace(n_parallel=1, embedding=False, pooling_type=None, model_alias=set(), sampling=sampling)


def test_a_child_reads_llama_servers_spelling() -> None:
    params = _params()
    child.apply_arguments(params, ["-np", "2", "--temp", "0.5", "--alias", "a,b", "--reranking"], "rank")
    assert (params.n_parallel, params.sampling.temp, params.model_alias) == (2, 0.5, {"a", "b"})
    assert (params.embedding, params.pooling_type) == (True, "rank")


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["--parallel"], ["--parallel", "many"], ["--seed", "1"]])
def test_a_child_refuses_what_it_cannot_read(arguments: list[str]) -> None:
    with pytest.raises(child.ArgumentError):
        child.apply_arguments(_params(), arguments, None)
