"""What speaks against a load before it is tried: a table of checks, the first that objects decides.

A failed load makes lemond drop every model it holds, so whatever can be known beforehand is asked here. What cannot be
known does not object.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from hal0app import errors
from hal0app.core import arguments
from hal0app.core.backends import Backend, missing
from hal0app.core.memory import GIB, NO_ESTIMATE, Estimate
from hal0app.core.model import Model
from hal0app.core.model_file import ModelFile
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error

# Options with which a context beyond the model's own is meant.
STRETCHING = frozenset(
    {"--rope-scaling", "--rope-scale", "--rope-freq-base", "--rope-freq-scale", "--yarn-orig-ctx", "--override-kv"}
)


@dataclass(frozen=True)
class Facts:
    """All that is known about one load; None is what is not known.

    `backends`: those of the model's recipe. `flags`: the options llama-server lists. `npu_holder`: a model that holds
    the NPU and may not leave it. `quarantined`: what a model that is kept out is refused with.
    """

    name: str
    model: Model | None
    slot: SlotConfig | None = None
    file: ModelFile | None = None
    backends: tuple[Backend, ...] | None = None
    flags: frozenset[str] | None = None
    memory: Estimate = NO_ESTIMATE
    npu_holder: str | None = None
    quarantined: Hal0Error | None = None

    @property
    def args(self) -> str:
        """The llama-server options of the slot."""
        return self.slot.llamacpp_args if self.slot else ""

    @property
    def context(self) -> int | None:
        """The model's own context in tokens: the file's word, else Lemonade's."""
        told = self.file.header.context_length if self.file and self.file.header else None
        return told or (self.model.context if self.model else None)


def _unknown(facts: Facts) -> Hal0Error | None:
    if facts.model is not None:
        return None
    return errors.error("model.unknown", f"Lemonade does not know a model '{facts.name}'. See GET /v1/models")


def _other_name(facts: Facts) -> Hal0Error | None:
    """Residents go by the name that Lemonade lists, so that a slot which says otherwise would never see its model."""
    if facts.model is None or facts.model.id == facts.name:
        return None
    message = f"Lemonade lists '{facts.name}' as '{facts.model.id}': make that the slot's model"
    return errors.error("model.other_name", message, param="model", listed=facts.model.id)


def _not_downloaded(facts: Facts) -> Hal0Error | None:
    if facts.model is None or facts.model.downloaded:
        return None
    message = f"'{facts.name}' is not on this machine. Pull it first: POST /api/models/pull"
    return errors.error("model.not_downloaded", message)


def _type_mismatch(facts: Facts) -> Hal0Error | None:
    slot, model = facts.slot, facts.model
    if slot is None or model is None or slot.type is model.type:
        return None
    message = f"slot '{slot.name}' serves {slot.type}, but '{facts.name}' is a model for {model.type}"
    return errors.error("model.type_mismatch", message, param="model")


def _quarantined(facts: Facts) -> Hal0Error | None:
    return facts.quarantined


def _corrupt(facts: Facts) -> Hal0Error | None:
    if facts.file is None or facts.file.problem is None:
        return None
    where = facts.file.path
    message = (
        f"the file of '{facts.name}' is damaged ({where}: {facts.file.problem}). Pull it again: POST /api/models/pull"
    )
    return errors.error("model.corrupt", message, file=where)


def _no_backend(facts: Facts) -> Hal0Error | None:
    if facts.model is None or facts.backends is None:
        return None
    problem = missing(facts.model.recipe, facts.backends, facts.slot.device if facts.slot else None)
    return errors.error("backend.not_installed", problem, recipe=facts.model.recipe) if problem else None


def _npu_busy(facts: Facts) -> Hal0Error | None:
    if facts.npu_holder is None:
        return None
    message = f"the NPU is taken by '{facts.npu_holder}'. Unload that first, or choose another device"
    return errors.error("npu.busy", message, holder=facts.npu_holder)


def _reserved_args(facts: Facts) -> Hal0Error | None:
    found = arguments.reserved(facts.args)
    if not found:
        return None
    message = f"llamacpp_args: {', '.join(found)} is set by hal0 or Lemonade; take it out"
    return errors.error("args.reserved", message, param="llamacpp_args", flags=found)


def _unknown_args(facts: Facts) -> Hal0Error | None:
    found = arguments.unknown(facts.args, facts.flags) if facts.flags is not None else []
    if not found or facts.flags is None:
        return None
    message = f"llamacpp_args: this machine's llama-server has no {', '.join(found)}{_instead(found[0], facts.flags)}"
    return errors.error("args.unknown", message, param="llamacpp_args", flags=found)


def _instead(flag: str, known: frozenset[str]) -> str:
    name, _, value = flag.partition("=")
    if name in known:
        return f"; write '{name} {value}'"
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; take it out, or see llama-server --help"


def _context_exceeded(facts: Facts) -> Hal0Error | None:
    slot, own = facts.slot, facts.context
    if slot is None or slot.ctx_size is None or own is None or STRETCHING & set(arguments.flags(facts.args)):
        return None
    each = slot.ctx_size // slot.max_in_flight
    if each <= own:
        return None
    message = f"ctx_size gives {each} tokens to a request, but '{facts.name}' takes {own} at most. Lower ctx_size"
    return errors.error("model.context_exceeded", message, param="ctx_size", context=own)


def _no_memory(facts: Facts) -> Hal0Error | None:
    memory = facts.memory
    if memory.fits or memory.needs is None or memory.free is None or memory.would_free is None:
        return None
    message = f"'{facts.name}' needs {_gib(memory.needs)}, but {_gib(memory.free)} are free"
    if memory.would_free:
        message += f" and {_gib(memory.would_free)} more once room is made"
    advice = "Choose a smaller model or ctx_size, or unload something"
    return errors.error("memory.insufficient", f"{message}. {advice}", **memory.as_json())


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


CHECKS: tuple[Callable[[Facts], Hal0Error | None], ...] = (
    _unknown,
    _other_name,
    _not_downloaded,
    _type_mismatch,
    _quarantined,
    _corrupt,
    _no_backend,
    _npu_busy,
    _reserved_args,
    _unknown_args,
    _context_exceeded,
    _no_memory,
)


def refusal(facts: Facts) -> Hal0Error | None:
    """What the first check that objects says; None when the load can be tried."""
    return next((problem for check in CHECKS if (problem := check(facts)) is not None), None)
