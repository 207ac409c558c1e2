"""One llama.cpp server for one model, in a process of its own: `python -m hal0app.embedded.child -m FILE ...`.

Takes llama-server's spelling of its arguments. Writes the URL it listens on to the file descriptor in
HAL0_READY_FD once the model is loaded; ends with its parent, also when that is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hal0app.embedded import flm

PR_SET_PDEATHSIG = 1
BAD_ARGUMENT, LOAD_FAILED = 1, 2


def follow_parent(parent: int) -> None:
    """Die when the parent dies, however it dies (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


@dataclass(frozen=True)
class Flag:
    """Where an argument goes: a dotted attribute of CommonParams, and how its text becomes a value."""

    attribute: str
    read: Callable[[str], Any] | None = None
    constant: Any = True


def _alias(text: str) -> set[str]:
    return set(text.split(","))


FLAGS = {
    "--model -m": Flag("model.path", str),
    "--ctx-size -c": Flag("n_ctx", int),
    "--port": Flag("port", int),
    "--jinja": Flag("use_jinja"),
    "--metrics": Flag("endpoint_metrics"),
    "--embedding --embeddings": Flag("embedding"),
    "--alias -a": Flag("model_alias", _alias),
    "--parallel -np": Flag("n_parallel", int),
    "--threads -t": Flag("cpuparams.n_threads", int),
    "--threads-batch -tb": Flag("cpuparams_batch.n_threads", int),
    "--threads-http": Flag("n_threads_http", int),
    "--batch-size -b": Flag("n_batch", int),
    "--ubatch-size -ub": Flag("n_ubatch", int),
    "--predict --n-predict -n": Flag("n_predict", int),
    "--keep": Flag("n_keep", int),
    "--temp --temperature": Flag("sampling.temp", float),
    "--top-k": Flag("sampling.top_k", int),
    "--top-p": Flag("sampling.top_p", float),
    "--min-p": Flag("sampling.min_p", float),
    "--repeat-penalty": Flag("sampling.penalty_repeat", float),
    "--seed -s": Flag("sampling.seed", int),
    "--cache-reuse": Flag("n_cache_reuse", int),
    "--cache-ram -cram": Flag("cache_ram_mib", int),
    "--gpu-layers --n-gpu-layers -ngl": Flag("n_gpu_layers", int),
    "--context-shift": Flag("ctx_shift"),
    "--no-context-shift": Flag("ctx_shift", constant=False),
    "--cont-batching -cb": Flag("cont_batching"),
    "--no-cont-batching -nocb": Flag("cont_batching", constant=False),
    "--warmup": Flag("warmup"),
    "--no-warmup": Flag("warmup", constant=False),
    "--slots": Flag("endpoint_slots"),
    "--no-slots": Flag("endpoint_slots", constant=False),
    "--chat-template": Flag("chat_template", str),
    "--slot-save-path": Flag("slot_save_path", str),
    "--timeout -to": Flag("timeout_read", int),
    "--verbosity -lv": Flag("verbosity", int),
    "--no-webui": Flag("ui", constant=False),
}
BY_NAME = {name: flag for names, flag in FLAGS.items() for name in names.split()}
RERANKING = ("--reranking", "--rerank")


class ArgumentError(ValueError):
    """An argument llama-server does not have, or a value it cannot read."""


def _assign(params: Any, attribute: str, value: Any) -> None:
    owner, _, name = attribute.rpartition(".")
    target = getattr(params, owner) if owner else params
    if not hasattr(target, name):
        raise ArgumentError(f"this build of llama.cpp has no {attribute}")
    setattr(target, name, value)


def _value(flag: Flag, name: str, rest: Iterator[str]) -> Any:
    if flag.read is None:
        return flag.constant
    text = next(rest, None)
    if text is None:
        raise ArgumentError(f"{name}: a value is missing")
    try:
        return flag.read(text)
    except ValueError:
        raise ArgumentError(f"{name}: {text!r} is not a value for it") from None


def apply_arguments(params: Any, arguments: list[str], rank_pooling: Any) -> None:
    """Set llama.cpp's parameters from the command line. ArgumentError for what it does not know."""
    rest = iter(arguments)
    for name in rest:
        if name in RERANKING:
            params.embedding = True
            params.pooling_type = rank_pooling
        elif name in BY_NAME:
            _assign(params, BY_NAME[name].attribute, _value(BY_NAME[name], name, rest))
        else:
            raise ArgumentError(f"invalid argument: {name}")


def serve(arguments: list[str], ready: int) -> int:
    """Load, report the URL through `ready`, then serve until a signal ends the process. Returns an exit code."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.n_parallel, params.cpuparams.n_threads, params.endpoint_slots = 1, 2, True
    try:
        apply_arguments(params, arguments, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK)
    except ArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_ARGUMENT
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return LOAD_FAILED
    with os.fdopen(ready, "w") as pipe:
        pipe.write(server.listening_address)
    while True:
        signal.pause()


def list_options() -> None:
    """What this program takes, one option a line, as `llama-server --help` lists it."""
    for names in [*FLAGS, " ".join(RERANKING)]:
        print(", ".join(names.split()))


def main() -> None:
    if "--help" in sys.argv[1:]:
        list_options()
        return
    follow_parent(int(os.environ["HAL0_PARENT"]))
    if flm.FLAG in sys.argv:
        flm.serve(int(os.environ["HAL0_READY_FD"]))
    code = serve(sys.argv[1:], int(os.environ["HAL0_READY_FD"]))
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
