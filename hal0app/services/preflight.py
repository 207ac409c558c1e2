"""Asks everything that can be known about a load before it is tried, and learns from those that went well."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hal0app.core import memory, npu
from hal0app.core.backends import SERVING, USABLE, Backend, read_backends
from hal0app.core.memory import Estimate, HostMemory, ProcessMemory
from hal0app.core.memory_map import Part
from hal0app.core.model import BACKENDS, Model
from hal0app.core.model_file import ModelFile
from hal0app.core.preflight import Facts, refusal
from hal0app.core.residency import Observation, Resident
from hal0app.core.slot import options_key
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import Hal0Error
from hal0app.services.catalogue import Catalogue
from hal0app.services.ports import LlamaOptions, MemorySource, MemoryUse, ModelFiles, Recipes

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

    def __init__(self, catalogue: Catalogue, sources: Sources = UNKNOWN) -> None:
        self._catalogue, self._sources = catalogue, sources
        self._programs: dict[str, str] = {}

    def check(
        self,
        name: str,
        slot: SlotConfig | None,
        seen: Observation,
        leaving: Sequence[Resident],
        quarantined: str | None = None,
    ) -> Model:
        """The model, if loading it can be tried once `leaving` are gone; lemond is left alone.

        Raises what `core.preflight` finds, or LemonadeError when lemond does not tell whether it knows the model.
        """
        model = self._catalogue.find(name)
        facts = Facts(name, model, slot, quarantined=quarantined)
        if model is not None and model.downloaded:
            facts = self._facts(model, slot, seen, leaving, quarantined)
        problem = refusal(facts)
        if problem is not None:
            raise problem
        assert model is not None
        return model

    def estimate(
        self, name: str, slot: SlotConfig | None, seen: Observation, leaving: Sequence[Resident]
    ) -> dict[str, Any]:
        """`needs`, `free`, `would_free` in bytes (null: not known) and `learned`, for a preview of the load."""
        model = self._catalogue.find(name)
        if model is None:
            return memory.NO_ESTIMATE.as_json()
        return self._estimate(model, slot, self._file(model), leaving).as_json()

    def learn(self, model: Model, slot: SlotConfig | None, resident: Resident) -> None:
        """Keep what a fresh load uses, where that can be measured: on the CPU, for a process hal0 may look at."""
        used = self._sources.host.process(resident.pid) if resident.pid and resident.device == "cpu" else None
        if used is not None:
            self._sources.used.put(model.id, _key(slot, self._file(model)), used.resident)

    def held(self, resident: Resident) -> Part:
        """What a resident takes: measured where it runs on the CPU, else as much as it was expected to need."""
        used = self._sources.host.process(resident.pid) if resident.pid and resident.device == "cpu" else None
        if used is None:
            return Part(resident.model, self._held(resident))
        return Part(resident.model, used.resident, measured=True, mapped=max(used.resident - used.own, 0))

    # -- gathering

    def _facts(
        self,
        model: Model,
        slot: SlotConfig | None,
        seen: Observation,
        leaving: Sequence[Resident],
        quarantined: str | None,
    ) -> Facts:
        file = self._file(model)
        return Facts(
            name=model.id,
            model=model,
            slot=slot,
            file=file,
            backends=self._backends(model.recipe, slot),
            flags=self._flags(model, slot, seen),
            memory=self._estimate(model, slot, file, leaving),
            npu_holder=npu.busy(model, seen, leaving),
            quarantined=quarantined,
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

    def _estimate(
        self, model: Model, slot: SlotConfig | None, file: ModelFile | None, leaving: Sequence[Resident]
    ) -> Estimate:
        learned = self._sources.used.get(model.id, _key(slot, file))
        own = file.header.context_length if file and file.header else model.context
        return Estimate(
            needs=learned or memory.needed(file, model.size_gb, memory.shape(slot, own)),
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


def _key(slot: SlotConfig | None, file: ModelFile | None) -> str:
    """The load options and the file's size: another download of a model is another load."""
    return f"{options_key(slot) if slot else ''} {file.size if file else ''}"
