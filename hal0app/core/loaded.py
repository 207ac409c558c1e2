"""Whether a resident is loaded as its slot wants it, from what lemond tells and from what hal0 itself has loaded."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hal0app.core.backends import SERVING
from hal0app.core.operation import Kind, Operation, Status, last_finished
from hal0app.core.residency import Resident
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device

# What hal0 puts into the arguments by itself, and how many words each takes.
OWN = {"--parallel": 2, "-np": 2, "--alias": 2, "-a": 2}
# Where a backend of llama.cpp runs; the distribution's own serves every device.
DEVICE_OF: dict[str, Device] = {"rocm": Device.GPU_ROCM, "vulkan": Device.GPU_VULKAN, "cpu": Device.CPU}


class Difference(NamedTuple):
    """A load option by its key in the slot's definition, as lemond holds it and as the slot wants it (None: unsaid)."""

    key: str
    held: Any
    wanted: Any


class LoadOptions(NamedTuple):
    """What a load depends on besides the model, in the order of `SlotConfig.load_options`."""

    ctx_size: int | None
    llamacpp_args: str
    max_in_flight: int
    device: Device | None


_DEVICE = re.compile(r"<Device\.\w+: ('[^']*')>\)$")


def read_options(key: str) -> LoadOptions | None:
    """The load options in a key of `options_key`; None for what is none, as an older hal0's."""
    try:
        ctx_size, args, parallel, device = ast.literal_eval(_DEVICE.sub(r"\1)", key))
        return LoadOptions(ctx_size, args, parallel, Device(device) if device else None)
    except (ValueError, TypeError, SyntaxError):
        return None


def differences(slot: SlotConfig, resident: Resident, operations: Sequence[Operation]) -> tuple[Difference, ...]:
    """The load options that the resident has otherwise than the slot; none where nothing tells."""
    loads = [one for one in operations if one.kind is Kind.LOAD and one.status is Status.DONE and one.options]
    last = last_finished(loads, resident.model)
    ours = read_options(last.options) if last is not None else None
    found = (
        _context(slot, resident, ours),
        _arguments(slot, resident, ours),
        _parallel(slot, resident, ours),
        _device(slot, resident, ours),
    )
    return tuple(one for one in found if one is not None)


def as_it_runs(found: Sequence[Difference]) -> Mapping[str, Any]:
    """What makes a definition say what is loaded: to be laid over it, None takes a key out."""
    return {one.key: one.held for one in found}


def _context(slot: SlotConfig, resident: Resident, ours: LoadOptions | None) -> Difference | None:
    told = resident.ctx_size
    asked = ours is None or ours.ctx_size == slot.ctx_size
    same = told == slot.ctx_size if told and slot.ctx_size else asked
    return None if same else Difference("ctx_size", told or (ours and ours.ctx_size), slot.ctx_size)


def _arguments(slot: SlotConfig, resident: Resident, ours: LoadOptions | None) -> Difference | None:
    """lemond's own come with them, so of what it tells only the absence of the slot's counts."""
    wanted, told = _options(slot.llamacpp_args), _options(resident.args)
    if ours is not None and (_options(ours.llamacpp_args) <= told or not told):
        held, same = ours.llamacpp_args, _options(ours.llamacpp_args) == wanted
    else:
        held, same = _joined(told), wanted <= told or not told
    return None if same else Difference("llamacpp_args", held, slot.llamacpp_args)


def _parallel(slot: SlotConfig, resident: Resident, ours: LoadOptions | None) -> Difference | None:
    told = [option[1] for option in _options(resident.args, own=True) if option[0] in {"--parallel", "-np"}]
    counts = [int(one) for one in told if one.isdigit()]
    held = counts[0] if counts else ours.max_in_flight if ours and not resident.args else None
    return Difference("max_in_flight", held, slot.max_in_flight) if held not in {None, slot.max_in_flight} else None


def _device(slot: SlotConfig, resident: Resident, ours: LoadOptions | None) -> Difference | None:
    if slot.device is None or resident.recipe not in {"", "llamacpp"}:
        return None
    held = DEVICE_OF.get(resident.backend) or (ours and ours.device) or None
    serves = resident.backend in SERVING[slot.device] if resident.backend in DEVICE_OF else held == slot.device
    return None if held is None or serves else Difference("device", held.value, slot.device.value)


def _options(args: str, own: bool = False) -> frozenset[tuple[str, ...]]:
    """The options of a fragment, each with its values, in no order: lemond merges and sorts them.

    Those that hal0 puts there by itself only with `own`.
    """
    found: list[list[str]] = []
    for word in shlex.split(args):
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            found.append([word])
        elif found:
            found[-1].append(word)
    return frozenset(tuple(one) for one in found if own or one[0] not in OWN)


def _joined(options: frozenset[tuple[str, ...]]) -> str:
    return " ".join(shlex.join(one) for one in sorted(options))
