"""Asks everything that can be known about a load before it is tried, and learns from those that went well."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hal0app.core import memory, npu
from hal0app.core.backends import SERVING, USABLE, Backend, read_backends
from hal0app.core.memory import Estimate, HostMemory, ProcessMemory
from hal0app.core.memory_map import Part
from hal0app.core.model import BACKENDS, Model
from hal0app.core.model_file import ModelFile
from hal0app.core.preflight import Facts, refusal
from hal0app.core.residency import Observation, Resident
from hal0app.core.slot import BLAMELESS, options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.ports import LlamaOptions, MemorySource, MemoryUse, ModelFiles, Recipes
from hal0app.services.quarantines import Quarantines

log = logging.getLogger(__name__)

EMBEDDED = "hal0-embedded"
SYSTEM = "system"


class Nothing:
    """Knows nothing: every port of `Sources` at once."""

    installed = ""

    def file(self, checkpoint: str) -> ModelFile | None:
        return None

    def host(self) -> HostMemory:
        return HostMemory()

    def process(self, pid: int) -> ProcessMemory | None:
        return None

    def options(self, program: str) -> frozenset[str] | None:
        return None

    def get(self, model: str, options: str) -> int | None:
        return None

    def put(self, model: str, options: str, size: int) -> None:
        return None

    def recipes(self) -> dict[str, Any]:
        return {}


NOTHING = Nothing()


@dataclass(frozen=True)
class Sources:
    """Where the facts come from."""

    files: ModelFiles = NOTHING
    host: MemorySource = NOTHING
    llama: LlamaOptions = NOTHING
    used: MemoryUse = NOTHING
    lemond: Recipes = NOTHING


UNKNOWN = Sources()


class Preflight:
    """Called by the jobs of `Control`; those of different pools may ask at once."""

    def __init__(
        self, catalogue: Catalogue, sources: Sources = UNKNOWN, quarantines: Quarantines | None = None
    ) -> None:
        self._catalogue, self._sources, self._quarantines = catalogue, sources, quarantines
        self._programs: dict[str, str] = {}

    def check(
        self,
        name: str,
        slot: SlotConfig | None,
        seen: Observation,
        leaving: Sequence[Resident],
    ) -> Model:
        """The model, if loading it can be tried once `leaving` are gone; lemond is left alone.

        Its `ctx_size` is what a load for `slot` asks for. Raises what `core.preflight` finds, or LemonadeError when
        lemond does not tell whether it knows the model.
        """
        model = self._catalogue.find(name)
        facts = Facts(name, model, slot)
        if model is not None and model.downloaded:
            model = replace(model, ctx_size=self._ctx_size(model, slot, self._file(model), leaving))
            facts = self._facts(name, model, slot, seen, leaving)
        problem = refusal(facts)
        if problem is not None:
            raise problem
        assert model is not None
        return model

    def estimate(
        self, name: str, slot: SlotConfig | None, seen: Observation, leaving: Sequence[Resident]
    ) -> dict[str, Any]:
        """For a preview of the load: `ctx_size` (null: left to lemond) and `memory`.

        The latter: `needs`, `free`, `would_free` in bytes (null: not known) and `learned`.
        """
        model = self._catalogue.find(name)
        if model is None:
            return {"ctx_size": None, "memory": memory.NO_ESTIMATE.as_json()}
        file = self._file(model)
        ctx_size = self._ctx_size(model, slot, file, leaving)
        return {"ctx_size": ctx_size, "memory": self._estimate(model, slot, file, leaving, ctx_size).as_json()}

    def learn(self, model: Model, slot: SlotConfig | None, resident: Resident) -> None:
        """Keep what a fresh load uses, where that can be measured: on the CPU, for a process hal0 may look at."""
        used = self._sources.host.process(resident.pid) if resident.pid and resident.device == "cpu" else None
        if used is not None:
            self._sources.used.put(model.id, _key(slot, self._file(model), model.ctx_size), used.resident)

    def blame(self, model: Model, slot: SlotConfig | None, code: str, cause: str) -> None:
        """Keep a model out that lemond could not load, unless the error `code` says nothing against it."""
        if self._quarantines is not None and code not in BLAMELESS:
            options = options_key(slot) if slot else ""
            self._quarantines.add(model.id, cause, options, slot.name if slot else None)

    def forgive(self, name: str) -> None:
        """Let the model be tried again."""
        if self._quarantines is not None:
            self._quarantines.lift(name)

    def held(self, resident: Resident) -> Part:
        """What a resident takes: measured where it runs on the CPU, else as much as it was expected to need."""
        used = self._sources.host.process(resident.pid) if resident.pid and resident.device == "cpu" else None
        if used is None:
            return Part(resident.model, self._held(resident))
        return Part(resident.model, used.resident, measured=True, mapped=max(used.resident - used.own, 0))

    # -- gathering

    def _facts(
        self,
        name: str,
        model: Model,
        slot: SlotConfig | None,
        seen: Observation,
        leaving: Sequence[Resident],
    ) -> Facts:
        file = self._file(model)
        return Facts(
            name=name,
            model=model,
            slot=slot,
            file=file,
            backends=self._backends(model.recipe, slot),
            flags=self._flags(model, slot, seen),
            memory=self._estimate(model, slot, file, leaving, model.ctx_size),
            npu_holder=npu.busy(model, seen, leaving),
            quarantined=self._quarantines.refusal(model.id, slot) if self._quarantines is not None else None,
        )

    def _file(self, model: Model) -> ModelFile | None:
        return self._sources.files.file(model.checkpoint) if model.recipe == "llamacpp" and model.checkpoint else None

    def _backends(self, recipe: str, slot: SlotConfig | None) -> tuple[Backend, ...] | None:
        """What lemond says now; None where that which is known to be installed serves the slot."""
        known = self._catalogue.installed_backends(recipe)
        device = slot.device if slot else None
        if known and (device is None or known & set(SERVING[device])):
            return None
        try:
            told = read_backends(self._sources.lemond.recipes().get(recipe, {}))
        except Hal0Error as problem:
            log.info("the backends of %s are not known: %s", recipe, problem)
            return None
        if known != {one.name for one in told if one.state in USABLE}:
            self._catalogue.forget()
        return told

    def _flags(self, model: Model, slot: SlotConfig | None, seen: Observation) -> frozenset[str] | None:
        """The options of the llama-server that will run, when it is known which one that is."""
        if slot is None or not slot.llamacpp_args or model.recipe != "llamacpp":
            return None
        self._programs.update({one.backend: one.program for one in seen.residents if one.program and one.backend})
        backend = self._backend(slot)
        program = self._programs.get(backend)
        if program is None and backend == SYSTEM and seen.engine != EMBEDDED:
            program = self._sources.llama.installed
        return self._sources.llama.options(program) if program else None

    def _backend(self, slot: SlotConfig) -> str:
        """The one that the load will name, or the only one there is; empty when it is lemond's choice."""
        installed = self._catalogue.installed_backends("llamacpp")
        named = next((one for one in BACKENDS[slot.device] if one in installed), "")
        return named or (next(iter(installed)) if len(installed) == 1 else "")

    # -- memory

    def _ctx_size(
        self, model: Model, slot: SlotConfig | None, file: ModelFile | None, leaving: Sequence[Resident]
    ) -> int | None:
        """The slot's context, else the most that fits; None where the model or the memory does not say enough."""
        if slot is not None and slot.ctx_size is not None:
            return slot.ctx_size
        own = _context(model, file)
        if own is None or file is None or file.header is None:
            return None
        if memory.kv_bytes(file.header, memory.shape(slot, own)) is None:
            return None
        choices = memory.contexts(own, slot.max_in_flight if slot else 1)
        verdicts = {one: self._estimate(model, slot, file, leaving, one) for one in choices}
        if any(one.free is None or one.would_free is None for one in verdicts.values()):
            return None
        return next((size for size, one in verdicts.items() if one.roomy), choices[-1])

    def _estimate(
        self,
        model: Model,
        slot: SlotConfig | None,
        file: ModelFile | None,
        leaving: Sequence[Resident],
        ctx_size: int | None,
    ) -> Estimate:
        learned = self._sources.used.get(model.id, _key(slot, file, ctx_size))
        load = memory.shape(slot, _context(model, file), ctx_size)
        return Estimate(
            needs=learned or memory.needed(file, model.size_gb, load),
            free=memory.free(self._sources.host.host(), slot.device if slot else None),
            would_free=self._released(leaving),
            learned=learned is not None,
        )

    def _released(self, leaving: Sequence[Resident]) -> int | None:
        """What comes free with `leaving`; None when that is not known of one of them."""
        each = [self._held(one) for one in leaving]
        return None if any(one is None for one in each) else sum(one for one in each if one is not None)

    def _held(self, one: Resident) -> int | None:
        """What a resident gives back: measured where it runs on the CPU, else as much as it was expected to need."""
        used = self._sources.host.process(one.pid) if one.pid and one.device == "cpu" else None
        if used is not None:
            return used.own
        model = next((known for known in self._catalogue.known() if known.id == one.model), None)
        if model is None:
            return None
        return memory.needed(self._file(model), model.size_gb, memory.Shape(one.ctx_size or memory.UNSTATED_CONTEXT))


def _context(model: Model, file: ModelFile | None) -> int | None:
    """The model's own context in tokens."""
    told = file.header.context_length if file and file.header else None
    return told or model.context


def _key(slot: SlotConfig | None, file: ModelFile | None, ctx_size: int | None) -> str:
    """The load options and the file's size: another download of a model is another load."""
    options = options_key(slot) if slot else ""
    if ctx_size is not None and not (slot and slot.ctx_size):
        options += f" ctx_size={ctx_size}"
    return f"{options} {file.size if file else ''}"
