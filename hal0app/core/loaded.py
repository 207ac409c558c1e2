"""Whether a resident is loaded as its slot wants it, from what lemond tells and from what hal0 itself has loaded."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hal0app.core.operation import Kind, Operation, Status, last_finished
from hal0app.core.residency import Resident
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig


def differs(slot: SlotConfig, resident: Resident, operations: Sequence[Operation]) -> bool:
    """Whether the resident has other load options than the slot; False where nothing tells."""
    loads = [one for one in operations if one.kind is Kind.LOAD and one.status is Status.DONE and one.options]
    ours = last_finished(loads, resident.model)
    wanted = f"--parallel {slot.max_in_flight} {slot.llamacpp_args}"
    return (
        (ours is not None and ours.options != options_key(slot))
        or (None not in (slot.ctx_size, resident.ctx_size) and slot.ctx_size != resident.ctx_size)
        or (bool(resident.args) and not _options(wanted) <= _options(resident.args))
    )


def _options(args: str) -> frozenset[tuple[str, ...]]:
    """The options of a fragment, each with its values, in no order: lemond merges and sorts them."""
    found: list[list[str]] = []
    for word in shlex.split(args):
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            found.append([word])
        elif found:
            found[-1].append(word)
    return frozenset(map(tuple, found))
