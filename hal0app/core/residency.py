"""What lemond holds loaded: residents, the observation they came in, and who leaves when a pool is full."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

from hal0app.core.clock import NEVER, Moment

UNLIMITED = -1

Address = tuple[str, int | None]  # backend URL and process id


class Link(StrEnum):
    """How lemond answered one observation."""

    UP = "up"  # /live and /v1/health answered: the residency is known
    BUSY = "busy"  # /live answered, health did not in time: it loads, drains or hangs; the residency is unknown
    SILENT = "silent"  # somebody is there, but /live gave no good answer in time: it hangs or is overloaded
    DOWN = "down"  # the connection was refused: nobody is there

    @property
    def answers(self) -> bool:
        """Whether lemond says anything at all."""
        return self in {Link.UP, Link.BUSY}


@dataclass(frozen=True)
class Resident:
    """One model that lemond holds loaded, as `/v1/health` reports it (lemonade-contract.md section 5)."""

    model: str
    type: str = "llm"
    pool: str = ""
    backend_url: str = ""
    pid: int | None = None
    pinned: bool = False
    busy: bool = False
    recipe: str = ""
    device: str = ""
    ctx_size: int | None = None
    last_use: int = 0  # milliseconds of lemond's monotonic clock: good for ordering only
    backend: str = field(default="", compare=False)  # "system", "vulkan", ...
    program: str = field(default="", compare=False)  # how its server was started, without the arguments
    args: str = field(default="", compare=False)  # llama.cpp's options, as lemond merged them

    @cached_property
    def address(self) -> Address:
        """What tells this loading of the model from an earlier one."""
        return (self.backend_url, self.pid)


@dataclass(frozen=True)
class Observation:
    """One reading of lemond. `taken` is the moment the reading began, so it proves nothing about what came later."""

    taken: Moment
    link: Link
    residents: tuple[Resident, ...] = ()
    capacity: Mapping[str, int] = field(default_factory=dict)  # models per type; UNLIMITED or absent: no bound
    version: str | None = None
    engine: str | None = None  # "hal0-embedded" when it is the trial engine
    boot: str | None = None  # what changes when lemond is started anew, where the host can tell
    locked_out: bool = False  # lemond answered that hal0's key is wrong

    @property
    def fresh(self) -> bool:
        """Whether it says what is resident."""
        return self.link is Link.UP

    def resident(self, model: str | None) -> Resident | None:
        """The resident of this model id, if there is one."""
        return next((one for one in self.residents if one.model == model), None)

    def models(self) -> frozenset[str]:
        """The ids of all residents."""
        return frozenset(one.model for one in self.residents)


NOTHING_SEEN = Observation(NEVER, Link.DOWN)


def read_health(taken: Moment, payload: Mapping[str, Any], boot: str | None = None) -> Observation:
    """The observation in a `/v1/health` answer; older answers name the list `loaded`. ValueError when it is neither."""
    rows = payload.get("all_models_loaded", payload.get("loaded")) if isinstance(payload, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("the health answer has no list of loaded models")
    return Observation(
        taken=taken,
        link=Link.UP,
        residents=tuple(sorted((_resident(row) for row in rows), key=lambda one: one.model)),
        capacity=dict(payload.get("max_models") or {}),
        version=payload.get("version"),
        engine=payload.get("engine"),
        boot=boot,
    )


def _resident(row: Mapping[str, Any]) -> Resident:
    options = row.get("recipe_options")
    options = options if isinstance(options, Mapping) else {}
    return Resident(
        model=row["model_name"],
        type=row.get("type", "llm"),
        pool=row.get("slot_pool", ""),
        backend_url=row.get("backend_url") or "",
        pid=row.get("pid"),
        pinned=bool(row.get("pinned")),
        busy=bool(row.get("is_busy")),
        recipe=row.get("recipe", ""),
        device=row.get("device", ""),
        ctx_size=_tokens(options.get("ctx_size")),
        last_use=row.get("last_use") or 0,
        backend=options.get(f"{row.get('recipe', '')}_backend") or "",
        program=_program(row.get("launch_command") or []),
        args=str(options.get("llamacpp_args") or ""),
    )


def _tokens(told: Any) -> int | None:
    """A context; lemond says -1 for one that it chooses itself."""
    return told if isinstance(told, int) and told > 0 else None


def _program(command: list[str]) -> str:
    """The words of a launch command before the model's path; empty when there is none."""
    for place, (word, after) in enumerate(pairwise(command)):
        if word in {"-m", "--model"} and after.startswith("/"):
            return shlex.join(command[:place])
    return ""


class AllPinned(Exception):
    """No resident of the pool may leave; `models` names them."""

    def __init__(self, models: Iterable[str]) -> None:
        self.models = sorted(models)
        super().__init__(", ".join(self.models))


def victims(
    observation: Observation,
    model: str,
    type_: str,
    last_used: Callable[[str], float],
    protected: frozenset[str] = frozenset(),
) -> list[Resident]:
    """Who must leave before `model` can be loaded: least recently used first, never a pinned one.

    `last_used` is hal0's own memory (a tick; -inf for never), for lemond does not see what hal0 streams directly;
    ties fall to lemond's own order. `protected` models are as good as pinned. Raises AllPinned.
    """
    limit = observation.capacity.get(type_, UNLIMITED)
    pools = {"", f"standard/{type_}"}  # helpers and cloud models have pools of their own
    rivals = [one for one in observation.residents if one.type == type_ and one.pool in pools and one.model != model]
    excess = len(rivals) + 1 - limit
    if limit == UNLIMITED or excess <= 0:
        return []
    movable = [one for one in rivals if not one.pinned and one.model not in protected]
    if len(movable) < excess:
        raise AllPinned(one.model for one in rivals if one not in movable)
    movable.sort(key=lambda one: (last_used(one.model), one.last_use))
    return movable[:excess]
